// Risk beside the markets: what one customer is allowed, and what was laid off elsewhere.

import { explain, Problem } from "../request.js";
import { h, setText, toast } from "../dom.js";
import { timeText } from "../format.js";
import { act, may, read } from "./desk.js";
import { field, openAction } from "./dialog.js";
import { cash, cashField, ONE, parseCash, parsePercent, price } from "./figures.js";
import { openLapse, openMade } from "./hedge.js";

const SOON_MS = 500;
const STATES = { ordered: "Under way", made: "Made", lapsed: "Lapsed" };

export class RiskPage {
  #cursor = null;
  #playerId = "";
  #asked = 0;

  constructor(root) {
    this.find = field("Player", h("input", { type: "search", autocomplete: "off",
      autocapitalize: "none", spellcheck: "false" }), "By id, as referrals and alerts show it");
    const form = h("form", { class: "find", role: "search", novalidate: true }, this.find.node,
      h("button", { type: "submit", class: "small" }, "Show"));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const playerId = this.find.input.value.trim();
      this.find.say(playerId ? "" : "Write a player's id.");
      if (playerId) location.hash = `#/risk/${encodeURIComponent(playerId)}`;
    });
    this.customer = h("div", { class: "customer", role: "status" });
    this.problem = h("p", { class: "notice bad", role: "alert", hidden: true });
    this.nothing = h("p", { class: "nothing", hidden: true }, "Nothing was laid off yet.");
    this.hedges = h("ul", { class: "stops", "aria-label": "Hedges" });
    this.more = h("button", { type: "button", class: "more", hidden: true,
      onclick: () => this.#loadHedges(this.#cursor) }, "Show more");
    root.append(h("div", { class: "bar" }, h("h1", {}, "Risk")),
      h("h2", { class: "part" }, "Customer"), form, this.customer,
      h("h2", { class: "part" }, "Hedges"),
      h("p", { class: "soft" }, "What the house has laid off elsewhere, newest first."),
      this.problem, this.nothing, this.hedges, this.more);
  }

  /** Show the hedges, and the customer if one is named. */
  show(visible, playerId = "") {
    if (!visible) return;
    this.#playerId = playerId;
    this.customer.replaceChildren();
    if (playerId) {
      this.find.input.value = playerId;
      this.#loadCustomer();
    }
    this.#loadHedges();
  }

  // Customers

  async #loadCustomer() {
    const playerId = this.#playerId;
    try {
      const found = await read(`customers/${encodeURIComponent(playerId)}`);
      if (playerId === this.#playerId) this.#showCustomer(found);
    } catch (error) {
      if (playerId !== this.#playerId) return;
      this.customer.replaceChildren(h("p", { class: "notice bad" }, explain(error)));
    }
  }

  #showCustomer(it) {
    const kinds = Object.entries(it.kinds);
    const change = h("button", { type: "button", class: "small",
      onclick: () => openFactors(it, (now) => this.#showCustomer(now)) }, "Change limits");
    change.hidden = !may("head_trader");
    this.customer.replaceChildren(h("p", {}, h("b", { class: "of" }, it.player_id)),
      h("dl", {},
        figure("Of everybody's limits", percent(it.factor)),
        ...kinds.map(([kind, factor]) => figure(kind, percent(factor))),
        figure("Asked about above", it.refer_above_minor ? cash(it.refer_above_minor) : "–"),
        figure("Since", it.changed_at ? timeText(it.changed_at) : "Never changed")),
      h("p", { class: "buttons" }, change));
  }

  // Hedges

  async #loadHedges(cursor = "") {
    const asked = ++this.#asked;
    try {
      const page = await read("hedges", { cursor, limit: "20" });
      if (asked !== this.#asked) return;
      this.problem.hidden = true;
      const rows = page.items.map((it) => this.#row(it));
      if (cursor) this.hedges.append(...rows);
      else this.hedges.replaceChildren(...rows);
      this.#cursor = page.next_cursor;
      this.more.hidden = !page.next_cursor;
      this.nothing.hidden = this.hedges.children.length > 0;
    } catch (error) {
      setText(this.problem, explain(error));
      this.problem.hidden = false;
    }
  }

  #row(it) {
    const of = `hedge-${it.hedge_id}`;
    const answer = (text, name, open) => {
      const node = h("button", { type: "button", class: name, "aria-describedby": of,
        onclick: () => open(it, () => this.#changed()) }, text);
      node.hidden = it.state !== "ordered" || !may("head_trader");
      return node;
    };
    const [fixtureId, marketKey] = it.market_id.split(":");
    const facts = [STATES[it.state], it.state === "made" ? `wins ${cash(it.wins_minor)}` : "",
      it.reference, timeText(it.answered_at ?? it.ordered_at)];
    return h("li", { "data-hedge": it.hedge_id, "data-state": it.state },
      h("div", {}, h("b", { id: of }, `${it.selection_id}: ${cash(it.stake_minor)} at ` +
        `${price(it.odds)}, ${it.exchange}`),
      h("p", { class: "soft" }, h("a", { href: `#/event/${fixtureId}/${marketKey}` },
        it.market_id), ` · ${facts.filter(Boolean).join(" · ")}`)),
      h("p", { class: "buttons" }, answer("Made", "small", openMade),
        answer("Not made", "small danger", openLapse)));
  }

  #changed() {
    // The list is read from the ledger, which is a moment behind.
    setTimeout(() => this.#loadHedges(), SOON_MS);
  }
}

function figure(label, value) {
  return h("div", {}, h("dt", {}, label), h("dd", {}, h("b", {}, value)));
}

const percent = (factor) => `${factor / 100} %`;

function parseFactor(text) {
  const factor = parsePercent(text);
  return factor !== null && factor <= 10 * ONE ? factor : null;
}

const kindsText = (kinds) =>
  Object.entries(kinds).map(([kind, factor]) => `${kind} ${factor / 100}`).join(", ");

/** {kind: factor} of what was typed, or {wrong}. */
function parseKinds(text) {
  const kinds = {};
  for (const one of text.split(",").map((part) => part.trim()).filter(Boolean)) {
    const [kind, figureText, more] = one.split(/\s+/);
    const factor = parseFactor(figureText ?? "");
    if (factor === null || more) return { wrong: one };
    kinds[kind] = factor;
  }
  return { kinds };
}

/** All factors of a customer, in place of those before. */
function openFactors(it, done) {
  const figureField = (label, hint) =>
    field(label, h("input", { inputmode: "decimal", autocomplete: "off" }), hint);
  const whole = figureField("Of everybody's limits, per cent",
    "100 changes nothing, 0 takes no bets, at most 1000");
  const kinds = field("For markets of some kinds, in place of it",
    h("input", { autocomplete: "off", autocapitalize: "none" }),
    "Such as: correct_score 20, match_result 50");
  const above = figureField("Stakes that a trader is asked about, above (0: as everybody's)");
  const fill = () => {
    whole.input.value = String(it.factor / 100);
    kinds.input.value = kindsText(it.kinds);
    above.input.value = cashField(it.refer_above_minor ?? 0);
  };
  fill();
  let body = {};
  openAction({
    title: `Limits of ${it.player_id}`,
    about: "What this customer may stake of what everybody may. The player is not told why.",
    fields: [whole.node, kinds.node, above.node],
    action: "Change limits",
    check: () => {
      const factor = parseFactor(whole.input.value);
      const typed = parseKinds(kinds.input.value);
      const { minor, error } = parseCash(above.input.value);
      whole.say(factor === null ? "Write per cent from 0 to 1000." : "");
      kinds.say(typed.wrong ? `“${typed.wrong}” is no kind with a percentage.` : "");
      above.say(error ?? "");
      if (factor === null || error) return "A figure can't be read.";
      if (typed.wrong) return "A kind can't be read.";
      body = { factor, kinds: typed.kinds, version: it.version,
        ...(minor && { refer_above_minor: minor }) };
      return "";
    },
    submit: async (reason, key) => {
      const path = `customers/${encodeURIComponent(it.player_id)}`;
      try {
        return await act(`${path}/factors`, { ...body, reason }, key);
      } catch (error) {
        if (error instanceof Problem && error.code === "version_conflict") {
          it = await read(path);
          fill();
        }
        throw error;
      }
    },
    done: (now) => {
      toast(`Limits of ${it.player_id} are changed.`, "good");
      done(now);
    },
  });
}
