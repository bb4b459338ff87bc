// What is done to one market: prices by hand, status, limits, and its settlement with a preview.

import { explain, newKey, Problem } from "../api.js";
import { h, setText, toast } from "../dom.js";
import { act, ask, may } from "./desk.js";
import { field, openAction } from "./dialog.js";
import { cash, cashField, parseCash, parsePrice, priceField } from "./figures.js";

const MONEY_LIMITS = {
  min_stake_minor: "Smallest stake",
  max_stake_minor: "Largest stake",
  max_liability_minor: "Liability of a selection",
  max_market_liability_minor: "Worst case of the market (0: no limit)",
  refer_above_minor: "Stakes that a trader is asked about, above (0: none)",
};
const TIME_LIMITS = {
  reoffer_ms: "A smaller stake is offered for, in seconds (0: not at all)",
  max_age_ms: "Prices too old before play, in seconds (0: never)",
  max_age_in_play_ms: "Prices too old in play, in seconds (0: never)",
};
const OUTCOMES = {
  lost: "Lost", won: "Won", void: "Void", half_won: "Half won", half_lost: "Half lost",
};

/** Move prices by hand. Only those that were changed are sent. */
export function openPrices(market) {
  if (!may("trader")) return;
  const rows = market.selections.filter((it) => !it.withdrawn).map((selection) => ({
    selection,
    field: field(selection.name, h("input", { inputmode: "decimal", autocomplete: "off",
      value: priceField(selection.odds), "data-selection": selection.selection_id })),
  }));
  let odds = {};
  openAction({
    title: `Prices of ${market.name}`,
    about: "0 takes a price off the board. The source may move them again.",
    fields: [h("div", { class: "fields" }, ...rows.map((it) => it.field.node))],
    action: "Move prices",
    check: () => {
      odds = {};
      for (const { selection, field: one } of rows) {
        one.say("");
        const parsed = parsePrice(one.input.value);
        if (parsed.error) {
          one.say(parsed.error);
          return "A price can't be read.";
        }
        if (parsed.odds !== selection.odds) odds[selection.selection_id] = parsed.odds;
      }
      return Object.keys(odds).length ? "" : "No price is another one than before.";
    },
    submit: (reason, key) => act(`markets/${market.market_id}/prices`, { odds, reason }, key),
    done: () => toast(`Prices of ${market.name} are moved.`, "good"),
  });
}

export function openStatus(market, status, done) {
  const verb = { open: "Open", suspended: "Suspend", closed: "Close" }[status];
  openAction({
    title: `${verb} ${market.name}`,
    about: status === "open" && Object.keys(market.causes).length
      ? "A stop or another cause stands: it takes bets when the last of them is gone." : "",
    action: verb,
    submit: (reason, key) => act(`markets/${market.market_id}/status`, { status, reason }, key),
    done,
  });
}

export function openLimits(market, limits, done) {
  const money = Object.entries(MONEY_LIMITS).map(([name, label]) => ({
    name,
    field: field(label, h("input", { inputmode: "decimal", autocomplete: "off",
      value: cashField(limits[name]) })),
  }));
  const times = Object.entries(TIME_LIMITS).map(([name, label]) => ({
    name,
    field: field(label, h("input", { inputmode: "decimal", autocomplete: "off",
      value: String(limits[name] / 1000) })),
  }));
  let changed = {};
  openAction({
    title: `Limits of ${market.name}`,
    fields: [h("div", { class: "fields" }, ...[...money, ...times].map((it) => it.field.node))],
    action: "Change limits",
    check: () => {
      changed = {};
      for (const { name, field: one } of money) {
        one.say("");
        const { minor, error } = parseCash(one.input.value);
        if (error) {
          one.say(error);
          return "An amount can't be read.";
        }
        if (minor !== limits[name]) changed[name] = minor;
      }
      for (const { name, field: one } of times) {
        one.say("");
        if (!/^\d{1,6}(\.\d{1,3})?$/.test(one.input.value.trim())) {
          one.say("Write seconds, such as 30.");
          return "A time can't be read.";
        }
        const ms = Math.round(Number(one.input.value) * 1000);
        if (ms !== limits[name]) changed[name] = ms;
      }
      return Object.keys(changed).length ? "" : "No limit is another one than before.";
    },
    submit: (reason, key) =>
      act(`markets/${market.market_id}/limits`, { ...changed, reason }, key),
    done: () => {
      toast(`Limits of ${market.name} are changed.`, "good");
      done?.();
    },
  });
}

/** A result, what it would pay, and then yes or no. What was seen is what is settled. */
export function openSettle(market, done) {
  const again = market.result_version > 0;
  const rows = market.selections.map((it) => new OutcomeRow(it));
  const cancelled = h("input", { type: "checkbox", id: "settle-cancel" });
  const table = h("table", { class: "outcomes" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Selection"),
      h("th", { scope: "col" }, "Result"), h("th", { scope: "col" }, "Dead heat"))),
    h("tbody", {}, ...rows.map((it) => it.node)));
  const pays = h("div", { class: "pays", role: "status" });
  const look = h("button", { type: "button", class: "ghost-dark" }, "Show what it pays");
  let seen = null;
  let key = "";

  const wanted = () => cancelled.checked
    ? { cancelled: true }
    : { results: Object.fromEntries(rows.filter((it) => !it.withdrawn)
      .map((it) => [it.selectionId, it.result()])) };
  const forget = () => {
    seen = null;
    pays.replaceChildren();
    setText(dialog.button, "Settle");
    dialog.button.disabled = true;
    table.classList.toggle("is-off", cancelled.checked);
  };
  const dialog = openAction({
    title: `${again ? "Settle again" : "Settle"}: ${market.name}`,
    fields: [table,
      h("label", { class: "check" }, cancelled, " The market is cancelled: every bet is void"),
      look, pays],
    danger: true,
    action: "Settle",
    submit: async (reason) => {
      try {
        return await act(`markets/${market.market_id}/settlement`,
          { ...wanted(), preview: seen.preview, reason }, key);
      } catch (error) {
        if (error instanceof Problem && error.code === "preview_outdated") forget();
        throw error;
      }
    },
    done: () => {
      toast(`${market.name} is settled.`, "good");
      done?.();
    },
  });
  look.addEventListener("click", async () => {
    dialog.say("");
    look.disabled = true;
    try {
      seen = await ask(`markets/${market.market_id}/settlement/preview`, wanted());
      key = newKey();
      pays.replaceChildren(...payNodes(seen, market));
      const change = seen.change_minor;
      setText(dialog.button, change < 0 ? `Settle: take back ${cash(-change)}`
        : `Settle: pay ${cash(change)}`);
      dialog.button.disabled = false;
    } catch (error) {
      forget();
      dialog.say(explain(error));
    }
    look.disabled = false;
  });
  for (const input of [...table.querySelectorAll("select, input"), cancelled]) {
    input.addEventListener("change", forget);
  }
  forget();
}

class OutcomeRow {
  constructor(selection) {
    this.selectionId = selection.selection_id;
    this.withdrawn = selection.withdrawn;
    const was = selection.result ?? { outcome: "lost", tied: 1, places: 1 };
    this.outcome = h("select", { "aria-label": `Result of ${selection.name}` },
      ...Object.entries(OUTCOMES).map(([value, text]) => h("option", { value }, text)));
    this.outcome.value = this.withdrawn ? "void" : was.outcome;
    this.outcome.disabled = this.withdrawn;
    const number = (label, value) => h("input", { type: "number", min: "1", max: "1000", value,
      "aria-label": `${label}, ${selection.name}` });
    this.tied = number("Winners that tie", was.tied);
    this.places = number("Places that they share", was.places);
    const heat = h("td", { class: "heat" }, this.tied, " for ", this.places);
    const sync = () => {
      heat.hidden = this.outcome.value !== "won";
      if (heat.hidden) this.tied.value = this.places.value = "1";
    };
    this.outcome.addEventListener("change", sync);
    this.node = h("tr", {}, h("th", { scope: "row" }, selection.name),
      h("td", {}, this.outcome), heat);
    sync();
  }

  result() {
    return {
      outcome: this.outcome.value,
      tied: Number(this.tied.value) || 1,
      places: Number(this.places.value) || 1,
    };
  }
}

function payNodes(seen, market) {
  const cell = (text) => h("td", { class: "number" }, text);
  const rows = market.selections.map((it) => {
    const line = seen.selections[it.selection_id];
    return h("tr", {}, h("th", { scope: "row" }, it.name), cell(String(line.bets + line.slips)),
      cell(cash(line.stakes_minor)), cell(cash(line.paid_minor)),
      cell(cash(line.payout_minor)), cell(cash(line.slips_change_minor)));
  });
  const head = ["Bets", "Stakes", "Paid so far", "Pays", "Of several lines"];
  const notes = [];
  if (!seen.whole) notes.push("There are too many bets to reckon all: more will be paid.");
  if (seen.holds) notes.push(`${seen.holds} bets are on their way and not counted.`);
  if (!seen.up_to_date) notes.push("The ledger is behind: look again.");
  return [
    h("div", { class: "scroll" }, h("table", {},
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Selection"),
        ...head.map((it) => h("th", { scope: "col", class: "number" }, it)))),
      h("tbody", {}, ...rows))),
    h("p", { class: "sum" }, `${seen.bets + seen.slips} bets, stakes ${cash(seen.stakes_minor)}: `,
      h("b", {}, seen.change_minor < 0 ? `takes back ${cash(-seen.change_minor)}`
        : `pays ${cash(seen.change_minor)}`)),
    ...notes.map((it) => h("p", { class: "notice bad" }, it)),
  ];
}
