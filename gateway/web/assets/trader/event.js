// One event: all its markets with what may be done to them, and for one of them prices and
// liability over time and who did what.

import { explain } from "../request.js";
import { arrange, h, setText } from "../dom.js";
import { startText, words } from "../format.js";
import { auditRows } from "./audit.js";
import { badgeText } from "./board.js";
import { openRollBack, openUndoVoid, openVoid } from "./correct.js";
import { may, read } from "./desk.js";
import { openLift, openStop } from "./dialog.js";
import { age, cash, clock, nowMs, price } from "./figures.js";
import { openHedge } from "./hedge.js";
import { LiabilityPlot } from "./liability.js";
import {
  heldText, openGiveBack, openLimits, openPrices, openStatus, sourceText,
} from "./market.js";
import { Plot } from "./plot.js";
import { openSettle } from "./settle.js";
import { openWithdraw } from "./withdraw.js";

const HISTORY_MS = 5_000;
const SOON_MS = 400;

export class EventPage {
  #root;
  #watch;
  #fixtureId = "";
  #limits = {};
  #panels = new Map();
  #chosen = "";
  #history = 0;
  /** When it is read again, in milliseconds; 0 while nobody waits for that. */
  #due = 0;
  #asked = 0;

  constructor(root, { watch }) {
    this.#root = root;
    this.#watch = watch;
    this.#build();
  }

  #build() {
    this.name = h("h1", {});
    this.meta = h("p", { class: "soft" });
    this.stop = h("button", { type: "button", class: "small danger",
      onclick: () => openStop("event", this.#fixtureId, this.name.textContent) }, "Stop event");
    this.problem = h("p", { class: "notice bad", role: "alert", hidden: true });
    this.list = h("div", { class: "panels" });
    this.prices = new Plot({ title: "Prices over time", empty: "No prices yet.", text: price });
    this.liability = new LiabilityPlot();
    this.of = h("h2", { id: "history-title" });
    this.audit = h("ol", { class: "audit" });
    this.history = h("aside", { class: "history", "aria-labelledby": "history-title" },
      this.of, this.prices.node, this.liability.node, h("h3", {}, "What was done"), this.audit);
    this.#root.append(
      h("p", {}, h("a", { href: "#/" }, "Board")),
      h("div", { class: "bar" }, h("div", {}, this.name, this.meta), this.stop),
      this.problem,
      h("div", { class: "event-columns" }, this.list, this.history));
  }

  /** Show an event and one of its markets; nothing when `fixtureId` is "". */
  show(fixtureId, marketKey) {
    this.#noHistory();
    // What was asked for before comes too late: it would say what to watch.
    this.#asked += 1;
    if (fixtureId !== this.#fixtureId) {
      this.#panels.clear();
      this.list.replaceChildren();
      this.history.hidden = true;
    }
    this.#fixtureId = fixtureId;
    this.#chosen = marketKey ? `${fixtureId}:${marketKey}` : "";
    this.stop.hidden = !may("trader");
    if (fixtureId) this.load();
  }

  async load() {
    const asked = ++this.#asked;
    const fixtureId = this.#fixtureId;
    try {
      const event = await read(`fixtures/${encodeURIComponent(fixtureId)}`);
      if (asked !== this.#asked) return;
      this.problem.hidden = true;
      clock(event.now);
      this.#limits = event.limits;
      this.#take(event.fixture);
      this.#watch([fixtureId]);
      this.#choose(this.#chosen || event.fixture.markets[0]?.market_id || "");
    } catch (error) {
      if (asked !== this.#asked) return;
      setText(this.problem, explain(error));
      this.problem.hidden = false;
    }
  }

  #take(fixture) {
    setText(this.name, fixture.name);
    const when = fixture.phase === "in_play" ? "Live" : fixture.phase === "scheduled"
      ? startText(fixture.starts_at) : words(fixture.phase);
    setText(this.meta,
      [words(fixture.sport), fixture.competition, when, fixture.score].filter(Boolean).join(" · "));
    for (const market of fixture.markets) {
      const known = this.#panels.get(market.market_id);
      if (known) known.take(market);
      else {
        this.#panels.set(market.market_id, new Panel(market, {
          choose: (marketId) => this.#choose(marketId),
          limits: (marketId) => this.#limits[marketId],
          changed: () => this.load(),
        }));
      }
    }
    arrange(this.list, [...this.#panels.values()].map((it) => it.node));
  }

  /** The stream says how the fixture and some of its markets are now. */
  told(fixture) {
    if (fixture.fixture_id !== this.#fixtureId) return;
    if (fixture.market_count > this.#panels.size && fixture.markets.length < this.#panels.size) {
      this.load(); // one was opened that is not here yet
      return;
    }
    this.#take(fixture);
    const chosen = fixture.markets.find((it) => it.market_id === this.#chosen);
    if (!chosen) return;
    this.liability.told(chosen);
    this.#historySoon(SOON_MS);
  }

  tick() {
    for (const panel of this.#panels.values()) panel.tick();
  }

  /** The market that shortcuts are for: the one with the focus, or the chosen one. */
  focused() {
    const marketId = document.activeElement?.closest?.(".panel")?.dataset.market ?? this.#chosen;
    return this.#panels.get(marketId)?.market;
  }

  move(by) {
    const panels = [...this.#panels.values()];
    const at = panels.findIndex((it) => it.node.contains(document.activeElement));
    const to = Math.min(panels.length - 1, Math.max(0, at < 0 ? 0 : at + by));
    panels[to]?.choose.focus();
  }

  // Over time

  #choose(marketId) {
    this.#chosen = marketId;
    this.liability.begin(marketId);
    for (const [id, panel] of this.#panels) panel.mark(id === marketId);
    const panel = this.#panels.get(marketId);
    this.history.hidden = !panel;
    if (!panel) return;
    setText(this.of, panel.market.name);
    this.#loadHistory();
  }

  #noHistory() {
    clearTimeout(this.#history);
    this.#due = 0;
  }

  /** In so long at the latest: what changes all the time puts it off no further. */
  #historySoon(ms) {
    const due = Date.now() + ms;
    if (this.#due && this.#due <= due) return;
    this.#noHistory();
    this.#due = due;
    this.#history = setTimeout(() => this.#loadHistory(), ms);
  }

  async #loadHistory() {
    const marketId = this.#chosen;
    const market = this.#panels.get(marketId)?.market;
    this.#noHistory();
    if (!market || this.#root.hidden) return;
    const name = Object.fromEntries(market.selections.map((it) => [it.selection_id, it.name]));
    try {
      const [prices, liability, audit] = await Promise.all([
        read(`markets/${marketId}/prices`),
        read(`markets/${marketId}/liability`),
        read("audit", { market_id: marketId, limit: "20" }),
      ]);
      if (marketId !== this.#chosen) return;
      this.prices.show({ now: nowMs(), series: Object.entries(prices.selections).map(
        ([id, points]) => ({
          name: name[id] ?? id,
          points: points.filter((it) => it.odds).map((it) => [Date.parse(it.at), it.odds]),
        })) });
      this.liability.take(liability, this.#panels.get(marketId).market);
      this.audit.replaceChildren(...auditRows(audit.items));
    } catch {
      // The figures stay as they were, and are read again in a moment.
    }
    this.#historySoon(HISTORY_MS);
  }
}

class Panel {
  #rows = new Map();
  #how;

  constructor(market, how) {
    this.market = market;
    this.#how = how;
    const id = market.market_id;
    this.choose = h("button", { type: "button", class: "link panel-name",
      "aria-pressed": "false", onclick: () => how.choose(id) }, market.name);
    this.badge = h("span", { class: "badge-status" });
    this.facts = h("p", { class: "soft facts" });
    this.body = h("tbody", {});
    const button = (text, name, run, role) => {
      const node = h("button", { type: "button", class: name, onclick: run }, text);
      node.hidden = !may(role);
      return node;
    };
    this.giveBack = button("Give back", "small", () => openGiveBack(this.market), "trader");
    this.lift = button("Lift stop", "small", () => this.#lift(), "trader");
    const toStatus = (status) => () => openStatus(this.market, status, () => this.market);
    this.open = button("Open", "small", toStatus("open"), "trader");
    this.close = button("Close", "small", toStatus("closed"), "trader");
    this.withdraw = button("Withdraw", "small", () => openWithdraw(this.market, how.changed),
      "head_trader");
    this.settle = button("Settle", "small", () => openSettle(this.market, how.changed),
      "head_trader");
    this.rollBack = button("Take result back", "small danger",
      () => openRollBack(this.market, how.changed), "head_trader");
    this.undoVoid = button("Undo void", "small", () => openUndoVoid(this.market, how.changed),
      "head_trader");
    const column = (text, name = "") => h("th", { scope: "col", class: name }, text);
    this.node = h("section", { class: "panel", "data-market": id, "aria-label": market.name },
      h("header", {}, h("h2", {}, this.choose), this.badge),
      this.facts,
      h("div", { class: "scroll" }, h("table", { class: "selections" },
        h("thead", {}, h("tr", {}, column("Selection"), column("Price", "number"),
          column("Bets", "number"), column("Stakes", "number"), column("Liability", "number"),
          column("Result"))),
        this.body)),
      h("p", { class: "buttons" },
        button("Prices", "small", () => openPrices(this.market), "trader"), this.giveBack,
        button("Stop", "small danger", () => openStop("market", id, this.market.name), "trader"),
        this.lift, this.open, this.close,
        button("Limits", "small", () => openLimits(this.market, how.limits(id), how.changed),
          "head_trader"),
        button("Hedge", "small", () => openHedge(this.market, how.changed), "head_trader"),
        this.withdraw, this.settle, this.rollBack,
        button("Void bets", "small danger", () => openVoid(this.market, how.changed),
          "head_trader"),
        this.undoVoid));
    this.take(market);
  }

  mark(chosen) {
    this.choose.setAttribute("aria-pressed", String(chosen));
    this.node.classList.toggle("is-chosen", chosen);
  }

  take(market) {
    this.market = market;
    setText(this.badge, badgeText(market));
    this.badge.dataset.status = market.stale && market.status === "open" ? "stale" : market.status;
    const trading = market.status === "open" || market.status === "suspended";
    this.giveBack.hidden = !may("trader") || !market.selections.some((it) => it.hand);
    this.lift.hidden = !may("trader") || !this.#stopId();
    // Who was withdrawn has a result, and the others run on.
    const known = market.selections.some((it) => it.result && !it.withdrawn);
    this.open.hidden = !may("trader") || market.status === "open" ||
      !(trading || market.status === "closed") || known;
    this.close.hidden = !may("trader") || !trading;
    // After the result nothing could be taken off the others any more.
    const takes = Boolean(market.terms?.rule_4 || market.terms?.reduction_factors);
    const over = market.status === "settled" || market.status === "cancelled" || (known && takes);
    this.withdraw.hidden = !may("head_trader") || over ||
      market.selections.every((it) => it.withdrawn);
    setText(this.settle, market.result_version ? "Settle again" : "Settle");
    this.rollBack.hidden = !may("head_trader") || !(known || market.status === "cancelled");
    this.undoVoid.hidden = !may("head_trader") || !market.voids?.length;
    for (const selection of market.selections) {
      const known = this.#rows.get(selection.selection_id);
      if (known) known.take(selection);
      else this.#rows.set(selection.selection_id, new SelectionRow(selection));
    }
    arrange(this.body, [...this.#rows.values()].map((it) => it.node));
    this.tick();
  }

  #stopId() {
    const cause = Object.keys(this.market.causes).find((it) => it.startsWith("stop/"));
    return cause?.slice("stop/".length);
  }

  #lift() {
    openLift({ stop_id: this.#stopId() });
  }

  tick() {
    const { market } = this;
    const worst = market.known ? cash(market.worst_minor) : "being read";
    setText(this.facts, [
      market.priced_at ? `Priced by ${sourceText(market)}, age ${age(market.priced_at)}`
        : "Never priced",
      `handle ${cash(market.handle_minor)}`, `worst case ${worst}`,
      market.holds ? `${market.holds} bets on their way` : "",
      market.in_play ? `in play, delay ${market.bet_delay_ms / 1000} s` : "",
      market.voids?.length ? "bets of a certain time are void" : "",
      market.causes.withdrawal
        ? "it takes bets when all prices were said again since the withdrawal" : "",
    ].filter(Boolean).join(" · "));
  }
}

class SelectionRow {
  constructor(selection) {
    const cell = () => h("td", { class: "number" });
    this.price = cell();
    this.bets = cell();
    this.stakes = cell();
    this.liability = cell();
    this.result = h("td", {});
    this.held = h("span", { class: "soft held" });
    this.node = h("tr", { "data-selection": selection.selection_id },
      h("th", { scope: "row" }, selection.name, " ", this.held),
      this.price, this.bets, this.stakes, this.liability, this.result);
    this.take(selection);
  }

  take(selection) {
    const moved = selection.base_odds ? ` (from ${price(selection.base_odds)})` : "";
    const old = selection.unrenewed ? " (from before the withdrawal)" : "";
    setText(this.price, price(selection.odds) + moved + old);
    setText(this.held, selection.hand ? heldText(selection.hand) : "");
    setText(this.bets, String(selection.bets));
    setText(this.stakes, cash(selection.stakes_minor));
    const hedged = selection.hedged_minor ? ` (hedged ${cash(selection.hedged_minor)})` : "";
    setText(this.liability, cash(selection.liability_minor) + hedged);
    const { result, place } = selection;
    const heat = result && result.tied > 1 ? ` (${result.tied} for ${result.places})` : "";
    const placed = result?.outcome === "lost" && place?.outcome === "won";
    const at = selection.starting_odds ? `, SP ${price(selection.starting_odds)}` : "";
    setText(this.result, selection.withdrawn ? "Withdrawn"
      : result ? (placed ? "Placed" : words(result.outcome)) + heat + at : "");
  }
}

