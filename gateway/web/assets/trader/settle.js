// A market's result: how each selection came out, what that would pay, and then yes or no. What was
// seen is what is settled.

import { explain, Problem } from "../request.js";
import { h, setText, toast } from "../dom.js";
import { words } from "../format.js";
import { act, ask } from "./desk.js";
import { openAction } from "./dialog.js";
import { cash, parsePrice, priceField } from "./figures.js";

const OUTCOMES = {
  lost: "Lost", won: "Won", void: "Void", half_won: "Half won", half_lost: "Half lost",
};
const FINISHES = { finished: "Finished", void: "Void" };

export function openSettle(market, done) {
  const again = market.result_version > 0;
  const terms = market.terms ?? {};
  const placed = Boolean(terms.each_way);
  const rows = market.selections.map((it) =>
    new (placed ? FinishRow : OutcomeRow)(it, Boolean(terms.starting_price)));
  const cancelled = h("input", { type: "checkbox", id: "settle-cancel" });
  // Of places and positions nothing is known before all have finished.
  const open = placed ? [] : rows.filter((it) => !it.decided);
  const inPart = h("input", { type: "checkbox" });
  inPart.addEventListener("change", () => open.forEach((it) => it.inPart(inPart.checked)));
  const columns = ["Selection", "Result", placed ? "Position" : "Dead heat",
    ...(terms.starting_price ? ["Starting price"] : [])];
  const table = h("table", { class: "outcomes" },
    h("thead", {}, h("tr", {}, ...columns.map((it) => h("th", { scope: "col" }, it)))),
    h("tbody", {}, ...rows.map((it) => it.node)));
  const pays = h("div", { class: "pays", role: "status" });
  const look = h("button", { type: "button", class: "ghost-dark" }, "Show what it pays");
  let seen = null;

  const forget = () => {
    seen = null;
    pays.replaceChildren();
    setText(dialog.button, "Settle");
    dialog.button.disabled = true;
    table.classList.toggle("is-off", cancelled.checked);
  };
  const wanted = () => (cancelled.checked ? { cancelled: true }
    : { results: resultsOf(rows), ...(inPart.checked && { in_part: true }) });
  const dialog = openAction({
    title: `${again ? "Settle again" : "Settle"}: ${market.name}`,
    about: placed ? "Positions from 1; the same for those that tie, none for those further back."
      : "",
    fields: [h("div", { class: "scroll" }, table),
      open.length
        ? h("label", { class: "check" }, inPart, " In part: bets on what is not decided stay open")
        : null,
      h("label", { class: "check" }, cancelled, " The market is cancelled: every bet is void"),
      look, pays],
    danger: true,
    action: "Settle",
    beside: () => seen?.preview,
    submit: async (reason, key) => {
      try {
        return await act(`markets/${market.market_id}/settlement`,
          { ...wanted(), preview: seen.preview, reason }, key);
      } catch (error) {
        if (error instanceof Problem && error.code === "preview_outdated") forget();
        throw error;
      }
    },
    // Without a preview nothing can be settled, whatever else is answered.
    ready: () => seen !== null,
    done: () => {
      toast(`${market.name} is settled${inPart.checked && !cancelled.checked ? " in part" : ""}.`,
        "good");
      done?.();
    },
  });
  look.addEventListener("click", async () => {
    dialog.say("");
    look.disabled = true;
    try {
      seen = await ask(`markets/${market.market_id}/settlement/preview`, wanted());
      pays.replaceChildren(...payNodes(seen, market));
      const change = seen.change_minor;
      setText(dialog.button, change < 0 ? `Settle: take back ${cash(-change)}`
        : `Settle: pay ${cash(change)}`);
      dialog.button.disabled = false;
    } catch (error) {
      forget();
      dialog.say(error instanceof Wrong ? error.message : explain(error));
    }
    look.disabled = false;
    look.focus();
  });
  for (const input of [...table.querySelectorAll("select, input"), inPart, cancelled]) {
    input.addEventListener("input", forget);
  }
  forget();
}

/** Something that was typed can't be read. */
class Wrong extends Error {}

function resultsOf(rows) {
  const given = rows.filter((it) => !it.withdrawn && !it.undecided);
  // Who has no position came in behind all who have one; nobody ties there.
  let behind = Math.max(rows.length, ...given.map((it) => it.at ?? 0));
  return Object.fromEntries(given.map((it) => {
    const result = it.result();
    if (result.position === 0) result.position = ++behind;
    return [it.selectionId, result];
  }));
}

/** One selection's line; those below say how a result is given. */
class Row {
  constructor(selection, withPrice) {
    this.selectionId = selection.selection_id;
    this.name = selection.name;
    this.withdrawn = selection.withdrawn;
    this.decided = Boolean(selection.result) || selection.withdrawn;
    this.odds = withPrice && !selection.withdrawn
      ? h("input", { inputmode: "decimal", autocomplete: "off", class: "narrow",
        "aria-label": `Starting price of ${selection.name}`,
        value: selection.starting_odds ? priceField(selection.starting_odds) : "" })
      : null;
    this.node = h("tr", {}, h("th", { scope: "row" }, selection.name),
      ...this.cells(selection), withPrice ? h("td", {}, this.odds ?? "") : null);
  }

  choice(options, value) {
    const select = h("select", { "aria-label": `Result of ${this.name}` },
      ...Object.entries(options).map(([name, text]) => h("option", { value: name }, text)));
    select.value = this.withdrawn ? "void" : value;
    select.disabled = this.withdrawn;
    return select;
  }

  number(label, value, least) {
    return h("input", { type: "number", min: String(least), max: "1000", class: "narrow", value,
      "aria-label": `${label}, ${this.name}` });
  }

  /** With the starting price, where one was written. */
  priced(result) {
    const typed = this.odds?.value.trim();
    if (!typed) return result;
    const { odds, error } = parsePrice(typed);
    if (error || !odds) throw new Wrong(`The starting price of ${this.name} can't be read.`);
    return { ...result, starting_odds: odds };
  }
}

/** How it came out, and in a dead heat how many share how many places. */
class OutcomeRow extends Row {
  cells(selection) {
    const was = selection.result ?? { outcome: "lost", tied: 1, places: 1 };
    this.outcome = this.choice(OUTCOMES, was.outcome);
    this.tied = this.number("Winners that tie", was.tied, 1);
    this.places = this.number("Places that they share", was.places, 1);
    const heat = h("span", {}, this.tied, " for ", this.places);
    const sync = () => {
      heat.hidden = this.outcome.value !== "won";
      if (heat.hidden) this.tied.value = this.places.value = "1";
    };
    this.outcome.addEventListener("change", sync);
    this.sync = sync;
    sync();
    return [h("td", {}, this.outcome), h("td", { class: "heat" }, heat)];
  }

  /** Whether it may stay undecided. "Lost" is what nobody has said anything else of. */
  inPart(may) {
    const { value } = this.outcome;
    if (may) this.outcome.prepend(h("option", { value: "" }, "Not decided"));
    else this.outcome.options[0].remove();
    this.outcome.value = may && value === "lost" ? "" : value || "lost";
    this.sync();
  }

  get undecided() {
    return this.outcome.value === "";
  }

  result() {
    return this.priced({
      outcome: this.outcome.value,
      tied: Number(this.tied.value) || 1,
      places: Number(this.places.value) || 1,
    });
  }
}

/** Where places are paid, its position says both how it came out and how the place did. */
class FinishRow extends Row {
  cells(selection) {
    this.finish = this.choice(FINISHES, selection.result?.outcome === "void" ? "void" : "finished");
    const won = selection.result?.outcome === "won" && selection.result.tied === 1;
    this.position = this.number("Position", won ? "1" : "", 1);
    const sync = () => (this.position.hidden = this.finish.value !== "finished");
    this.finish.addEventListener("change", sync);
    sync();
    const was = selection.place ? `was ${selection.result.outcome === "won" ? "first"
      : selection.place.outcome === "won" ? "placed" : words(selection.place.outcome)}` : "";
    return [h("td", {}, this.finish),
      h("td", { class: "heat" }, this.position, " ", h("span", { class: "soft" }, was))];
  }

  get at() {
    return this.finish.value === "finished" ? Number(this.position.value) || 0 : 0;
  }

  result() {
    if (this.finish.value === "void") return { outcome: "void", place: { outcome: "void" } };
    return this.priced({ position: this.at });
  }
}

const SINGLES = ["Bets", "Stakes", "Paid so far", "Pays"];
const SLIPS = ["Stake", "Paid so far", "Paid then", "After it"];
const bets = (count) => `${count} ${count === 1 ? "bet" : "bets"}`;

function payNodes(seen, market) {
  const rows = market.selections.map((it) => {
    const line = seen.selections[it.selection_id];
    return h("tr", {}, h("th", { scope: "row" }, it.name), ...cells(SINGLES,
      [String(line.bets), cash(line.stakes_minor), cash(line.paid_minor),
        line.undecided && !line.payout_minor ? "Stays open" : cash(line.payout_minor)]));
  });
  const change = seen.change_minor;
  const notes = [];
  if (!seen.whole) notes.push("There are too many bets to reckon all: more will be paid.");
  if (seen.holds) notes.push(`${bets(seen.holds)} on their way are not counted.`);
  if (!seen.up_to_date) notes.push("The ledger is behind: look again.");
  return [
    tableOf("Singles", SINGLES, rows),
    ...(seen.slips ? [slipsNode(seen)] : []),
    h("p", { class: "sum" }, `${bets(seen.bets + seen.slips)}: `,
      h("b", {}, change < 0 ? `takes back ${cash(-change)}` : `pays ${cash(change)}`),
      seen.slips_open
        ? `; ${seen.slips_open} of several lines ${seen.slips_open === 1 ? "stays" : "stay"} open`
        : ""),
    ...notes.map((it) => h("p", { class: "notice bad" }, it)),
  ];
}

/** Bets of several lines, each-way and at the starting price, one by one. */
function slipsNode(seen) {
  const rows = seen.each_slip.map((it) => {
    const name = words(it.kind) + (it.each_way ? " each-way" : "") +
      (it.starting_price ? " at SP" : "");
    const then = it.state === "open"
      ? `Stays open: ${it.legs_open} of ${it.legs} legs, at most ${cash(it.most_minor)}`
      : words(it.state);
    return h("tr", { "data-state": it.state },
      h("th", { scope: "row" }, name, " ", h("span", { class: "soft of" }, it.player_id)),
      ...cells(SLIPS,
        [cash(it.stake_minor), cash(it.paid_minor), cash(it.payout_minor), then]));
  });
  const more = seen.slips - rows.length;
  return h("div", {},
    tableOf("Of several lines, each-way or at the starting price",
      SLIPS, rows, "slips"),
    more > 0 ? h("p", { class: "soft" }, `${more} more that it changes less`) : null);
}

/** Labelled, for where there is no room for a row of headings. */
function cells(columns, texts) {
  return texts.map((text, at) => h("td", { "data-label": columns[at],
    class: columns[at] === "After it" ? "" : "number" }, text));
}

function tableOf(caption, columns, rows, name = "") {
  return h("div", { class: "scroll" }, h("table", { class: name },
    h("caption", {}, caption),
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, name ? "Bet" : "Selection"),
      ...columns.map((it) => h("th", { scope: "col",
        class: it === "After it" ? "" : "number" }, it)))),
    h("tbody", {}, ...rows)));
}
