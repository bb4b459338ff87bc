// The board: every event that is not over, with its markets as a trader looks at them. Rows are
// made once and then kept; a change touches what it changes.

import { explain } from "../request.js";
import { arrange, h, setText } from "../dom.js";
import { startText, words } from "../format.js";
import { may, member, read } from "./desk.js";
import { openStop } from "./dialog.js";
import { age, cash, causeText, clock, price, shortCash, STATUS } from "./figures.js";
import { openPrices, sourceText } from "./market.js";

const LIMIT = "20";
const TYPED_MS = 300;
const LATER_MS = 15_000;
const SHOWN = 4;
const PHASES = { "": "Not over", in_play: "In play", scheduled: "Upcoming", ended: "Ended",
  cancelled: "Cancelled" };

export class Board {
  #root;
  #watch;
  #events = new Map();
  #cursor = null;
  #asked = 0;
  #visible = false;
  #later = 0;

  /** `watch(fixtureIds)`: what is on the board is others than before. */
  constructor(root, { watch }) {
    this.#root = root;
    this.#watch = watch;
    this.#build();
    // Rows that stay have the buttons of whoever they were made for.
    member.follow(() => {
      this.#asked += 1;
      this.#events.clear();
      this.list.replaceChildren();
    });
  }

  #build() {
    const choice = (label, options) => {
      const select = h("select", { "aria-label": label },
        ...Object.entries(options).map(([value, text]) => h("option", { value }, text)));
      select.addEventListener("change", () => this.load());
      return select;
    };
    this.text = h("input", { type: "search", id: "search", placeholder: "Find an event",
      "aria-label": "Find an event by name, competition or id", "aria-keyshortcuts": "/" });
    let typed = 0;
    this.text.addEventListener("input", () => {
      clearTimeout(typed);
      typed = setTimeout(() => this.load(), TYPED_MS);
    });
    this.sport = choice("Sport", { "": "All sports" });
    this.phase = choice("Phase", PHASES);
    this.status = choice("Market status", { "": "Any status", ...STATUS });
    this.problem = h("p", { class: "notice bad", role: "alert", hidden: true });
    this.nothing = h("p", { class: "nothing", hidden: true }, "No event is like that.");
    this.list = h("div", { class: "events" });
    this.more = h("button", { type: "button", class: "more", hidden: true,
      onclick: () => this.load(this.#cursor) }, "Show more");
    this.#root.append(
      h("div", { class: "bar" }, h("h1", {}, "Board")),
      h("div", { class: "filters", role: "search" },
        this.text, this.sport, this.phase, this.status),
      this.problem, this.nothing, this.list, this.more);
  }

  show(visible) {
    this.#visible = visible;
    clearTimeout(this.#later);
    if (visible) {
      this.load();
      this.#sports();
    }
  }

  fixtureIds() {
    return [...this.#events.keys()];
  }

  async #sports() {
    try {
      const answer = await fetch("/v1/sports");
      const { items } = await answer.json();
      const chosen = this.sport.value;
      this.sport.replaceChildren(h("option", { value: "" }, "All sports"),
        ...items.map((it) => h("option", { value: it.sport }, words(it.sport))));
      this.sport.value = chosen;
    } catch {
      // Without the list everything is shown.
    }
  }

  /** The first page again, or the one after `cursor` in addition. */
  async load(cursor = "") {
    const asked = ++this.#asked;
    clearTimeout(this.#later);
    try {
      const page = await read("board", {
        text: this.text.value.trim(), sport: this.sport.value, phase: this.phase.value,
        status: this.status.value, cursor, limit: LIMIT,
      });
      if (asked !== this.#asked) return;
      this.problem.hidden = true;
      clock(page.now);
      this.#cursor = page.next_cursor;
      if (!cursor) this.#keepOnly(page.items);
      for (const fixture of page.items) this.#take(fixture);
      this.#arrange(page.items, cursor);
    } catch (error) {
      if (asked !== this.#asked) return;
      setText(this.problem, explain(error));
      this.problem.hidden = false;
    }
    // Events come and go. Only a first page is read again: nobody's place is lost.
    if (this.#visible && !this.#beyond) {
      this.#later = setTimeout(() => this.load(), LATER_MS);
    }
  }

  #beyond = false;

  #keepOnly(fixtures) {
    const kept = new Set(fixtures.map((it) => it.fixture_id));
    for (const fixtureId of this.#events.keys()) {
      if (!kept.has(fixtureId)) this.#events.delete(fixtureId);
    }
  }

  #take(fixture) {
    const known = this.#events.get(fixture.fixture_id);
    if (known) known.take(fixture, true);
    else this.#events.set(fixture.fixture_id, new EventRow(fixture));
  }

  #arrange(items, cursor) {
    this.#beyond = Boolean(cursor);
    arrange(this.list, [...this.#events.values()].map((it) => it.node));
    this.nothing.hidden = this.#events.size > 0;
    this.more.hidden = !this.#cursor;
    this.#watch(this.fixtureIds());
  }

  /** The stream says how a fixture and some of its markets are now. */
  told(fixture) {
    this.#events.get(fixture.fixture_id)?.take(fixture, false);
  }

  /** Ages go on by themselves. */
  tick() {
    if (this.#visible) for (const event of this.#events.values()) event.tick();
  }

  // The keyboard: rows one after the other, and what may be done to the one that has the focus

  #rows() {
    return [...this.list.querySelectorAll(".market-row .market-link")];
  }

  move(by) {
    const rows = this.#rows();
    if (!rows.length) return;
    const at = rows.findIndex((it) => it.closest("tr").contains(document.activeElement));
    const to = at < 0 ? (by > 0 ? 0 : rows.length - 1)
      : Math.min(rows.length - 1, Math.max(0, at + by));
    rows[to].focus();
  }

  /** The market whose row has the focus. */
  focused() {
    const row = document.activeElement?.closest?.(".market-row");
    return row ? this.#events.get(row.dataset.fixture)?.market(row.dataset.market) : undefined;
  }
}

class EventRow {
  #fixture;
  #rows = new Map();

  constructor(fixture) {
    this.#fixture = fixture;
    this.when = h("span", { class: "when" });
    this.score = h("b", { class: "score" });
    const href = `#/event/${fixture.fixture_id}`;
    this.body = h("tbody", {});
    this.rest = h("a", { class: "soft", href });
    const stop = h("button", { type: "button", class: "small danger",
      onclick: () => openStop("event", fixture.fixture_id, this.#fixture.name) }, "Stop event");
    stop.hidden = !may("trader");
    const column = (text, name = "") => h("th", { scope: "col", class: name }, text);
    this.node = h("article", { class: "event", "data-fixture": fixture.fixture_id },
      h("header", {},
        h("p", { class: "meta" }, this.when, h("span", { class: "competition" },
          `${words(fixture.sport)} · ${fixture.competition}`)),
        h("h2", {}, h("a", { href }, fixture.name), " ", this.score), stop),
      h("table", { class: "markets" },
        h("caption", { class: "hush" }, `Markets of ${fixture.name}`),
        h("thead", {}, h("tr", {}, column("Market"), column("Prices"), column("Age", "number"),
          column("Source"), column("Handle", "number"), column("Worst case", "number"),
          column("", "actions"))),
        this.body),
      this.rest);
    this.take(fixture, true);
  }

  market(marketId) {
    return this.#rows.get(marketId)?.market;
  }

  /** As the fixture is now. Without `whole`, of its markets only those that changed are named. */
  take(fixture, whole) {
    this.#fixture = { ...fixture, markets: [] };
    const live = fixture.phase === "in_play";
    this.node.dataset.phase = fixture.phase;
    setText(this.when, live ? "Live" : fixture.phase === "scheduled"
      ? startText(fixture.starts_at) : PHASES[fixture.phase]);
    setText(this.score, fixture.score);
    for (const market of fixture.markets) {
      const known = this.#rows.get(market.market_id);
      if (known) known.take(market);
      else this.#rows.set(market.market_id, new MarketRow(market, fixture.fixture_id));
    }
    if (whole) {
      const kept = new Set(fixture.markets.map((it) => it.market_id));
      for (const marketId of this.#rows.keys()) if (!kept.has(marketId)) this.#rows.delete(marketId);
    }
    const nodes = [...this.#rows.values()].map((it) => it.node);
    arrange(this.body, nodes);
    const others = fixture.market_count - nodes.length;
    this.rest.hidden = others <= 0;
    setText(this.rest, others > 0 ? `${others} more or settled` : "");
  }

  tick() {
    for (const row of this.#rows.values()) row.tick();
  }
}

class MarketRow {
  constructor(market, fixtureId) {
    const href = `#/event/${fixtureId}/${market.market_id.slice(fixtureId.length + 1)}`;
    // What "Stop" is said of, for those who hear it: ids may have colons in them.
    const mine = { "aria-describedby": `row-${market.market_id}` };
    this.link = h("a", { class: "market-link", id: `row-${market.market_id}`, href }, market.name);
    this.badge = h("span", { class: "badge-status" });
    this.prices = h("td", { class: "prices-cell" });
    this.age = h("td", { class: "number", "data-label": "Age" });
    this.source = h("td", { "data-label": "Source" });
    this.handle = h("td", { class: "number", "data-label": "Handle" });
    this.worst = h("td", { class: "number", "data-label": "Worst case" });
    const move = h("button", { type: "button", class: "small", ...mine,
      onclick: () => openPrices(this.market) }, "Prices");
    const stop = h("button", { type: "button", class: "small danger", ...mine,
      onclick: () => openStop("market", market.market_id, market.name) }, "Stop");
    const actions = h("td", { class: "actions" }, move, stop);
    move.hidden = stop.hidden = !may("trader");
    this.node = h("tr", { class: "market-row", "data-fixture": fixtureId,
      "data-market": market.market_id },
    h("th", { scope: "row" }, this.link, this.badge),
    this.prices, this.age, this.source, this.handle, this.worst, actions);
    this.take(market);
  }

  take(market) {
    this.market = market;
    setText(this.badge, badgeText(market));
    this.badge.dataset.status = market.stale && market.status === "open" ? "stale" : market.status;
    const shown = market.selections.slice(0, SHOWN);
    const prices = shown.map((it) => `${it.name} ${price(it.odds)}`).join("|");
    if (this.prices.dataset.shown !== prices) {
      this.prices.dataset.shown = prices;
      const more = market.selection_count - shown.length;
      this.prices.replaceChildren(...shown.map((it) =>
        h("span", { class: "chip-price" }, `${it.name} `, h("b", {}, price(it.odds)))),
      ...(more > 0 ? [h("span", { class: "soft" }, `+${more}`)] : []));
    }
    setText(this.source, sourceText(market));
    setText(this.handle, shortCash(market.handle_minor));
    setText(this.worst, market.known ? shortCash(market.worst_minor) : "…");
    this.worst.title = market.known ? cash(market.worst_minor) : "Being read";
    this.tick();
  }

  tick() {
    setText(this.age, age(this.market.priced_at));
  }
}

/** "Suspended: stopped by the desk", "Open, prices too old". */
export function badgeText(market) {
  const causes = [...new Set(Object.keys(market.causes).map(causeText))];
  if (market.status === "suspended" && causes.length) return `Suspended: ${causes.join(", ")}`;
  if (market.status === "open" && market.stale) return "Prices too old";
  return STATUS[market.status];
}
