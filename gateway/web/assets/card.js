// A fixture as it stands on the board. A tick of a price touches the one button that shows it:
// nodes are made once and then kept.

import { blockedOnBoard } from "./book.js";
import { arrange, h, icon, setText } from "./dom.js";
import { oddsText, startText, words } from "./format.js";
import { oddsFormat } from "./store.js";

const FLASH_MS = 2_500;
/** Selections on a closed card, and on an open one until all are asked for. */
const SHORT = 3;
const FIRST = 24;
const PHASES = { in_play: "Live", ended: "Ended", cancelled: "Cancelled" };

/** A fixture: its main market, and all of them when it is opened out. */
export class Card {
  #flashes;
  #isPicked;
  #markets = new Map();
  #open = false;

  constructor(fixture, flashes, isPicked) {
    this.fixtureId = fixture.fixture_id;
    this.phase = fixture.phase;
    this.list = fixture.phase;
    this.leaving = 0;
    this.#flashes = flashes;
    this.#isPicked = isPicked;
    this.competition = h("span", { class: "competition" });
    this.when = h("span", { class: "when" });
    this.score = h("b", { class: "score" });
    this.clock = h("span", { class: "clock" });
    this.name = h("h3", {});
    this.main = h("div", { class: "main-market" });
    this.rest = h("div", { class: "all-markets", hidden: true });
    this.count = h("span", {});
    this.toggle = h("button", { type: "button", class: "expand", "aria-expanded": "false",
      onclick: () => this.#expand() }, this.count, icon("more"));
    this.node = h("article", { class: "card", "data-fixture": fixture.fixture_id },
      h("div", { class: "card-info" },
        h("p", { class: "meta" }, this.when, this.competition),
        h("div", { class: "title" }, this.name,
          h("p", { class: "board-score" }, this.score, this.clock))),
      this.main,
      h("div", { class: "card-foot" }, this.toggle),
      this.rest);
    this.syncAll(fixture);
  }

  #expand() {
    this.#open = !this.#open;
    this.toggle.setAttribute("aria-expanded", String(this.#open));
    this.node.classList.toggle("is-open", this.#open);
    this.syncAll(this.fixture);
  }

  syncAll(fixture) {
    this.sync(fixture, new Set(["", ...fixture.markets.keys()]));
  }

  /** Show what changed: the markets named, and with "" the fixture itself. */
  sync(fixture, marketIds) {
    this.fixture = fixture;
    const whole = marketIds.has("");
    if (whole) this.#syncHead(fixture);
    this.#syncLayout(fixture);
    for (const [marketId, view] of this.#markets) {
      if (whole || marketIds.has(marketId)) view.sync(fixture.markets.get(marketId));
    }
  }

  #syncHead(fixture) {
    this.phase = fixture.phase;
    this.node.dataset.phase = fixture.phase;
    setText(this.name, fixture.name);
    setText(this.competition, fixture.competition);
    setText(this.when, PHASES[fixture.phase] ?? startText(fixture.starts_at));
    // A scoreboard reads "2-1 67'": the score, then what the clock says. A race has words only.
    const [score, ...clock] = /^\d/.test(fixture.score)
      ? fixture.score.split(" ")
      : ["", fixture.score];
    setText(this.score, score);
    setText(this.clock, clock.join(" "));
  }

  /** Which markets stand where. Nodes are made when they are first seen, and then kept. */
  #syncLayout(fixture) {
    const markets = [...fixture.markets.values()];
    const alive = (market) => market.status === "open" || market.status === "suspended";
    const main = markets.find(alive) ?? markets[0];
    const shown = this.#open ? markets : markets.filter((it) => it === main);
    const layout = `${main?.market_id} ${shown.map((it) => it.market_id).join()}`;
    this.toggle.hidden = markets.length < 2 && !(main?.selections.size > SHORT);
    const others = markets.length - 1;
    setText(this.count, this.#open ? "Show less"
      : others > 0 ? `${markets.length} markets` : `All ${main?.selections.size} selections`);
    for (const [marketId, view] of this.#markets) {
      view.setShort(!this.#open && marketId === main?.market_id);
    }
    if (layout === this.layout) return;
    this.layout = layout;
    for (const marketId of this.#markets.keys()) {
      if (!fixture.markets.has(marketId)) this.#markets.delete(marketId);
    }
    arrange(this.main, main ? [this.#market(main).node] : []);
    arrange(this.rest, shown.filter((it) => it !== main).map((it) => this.#market(it).node));
    this.rest.hidden = !this.#open;
  }

  #market(market) {
    const known = this.#markets.get(market.market_id);
    if (known) return known;
    const view = new MarketView(market, this.fixture.name, this.#flashes, this.#isPicked);
    this.#markets.set(market.market_id, view);
    view.setShort(!this.#open);
    view.sync(market);
    return view;
  }
}

/** A market: a grid of price buttons. */
class MarketView {
  #flashes;
  #isPicked;
  #buttons = new Map();
  #limit = SHORT;

  constructor(market, fixtureName, flashes, isPicked) {
    this.market = market;
    this.#flashes = flashes;
    this.#isPicked = isPicked;
    this.name = h("span", {}, market.name);
    this.state = h("span", { class: "market-state" });
    this.grid = h("div", { class: "prices" });
    this.all = h("button", { type: "button", class: "more", hidden: true,
      onclick: () => this.#showAll() });
    this.node = h("div", { class: "market", role: "group",
      "aria-label": `${market.name}, ${fixtureName}` },
    h("p", { class: "market-name" }, this.name, this.state), this.grid, this.all);
  }

  /** Short: only the first few selections, on the closed card. */
  setShort(short) {
    const limit = short ? SHORT : Math.max(this.#limit, FIRST);
    if (limit === this.#limit) return;
    this.#limit = limit;
    this.sync(this.market);
  }

  #showAll() {
    this.#limit = Infinity;
    this.sync(this.market);
  }

  sync(market) {
    this.market = market;
    this.node.dataset.status = market.status;
    setText(this.state, market.status === "open" ? "" : words(market.status));
    const shown = [...market.selections.values()].slice(0, this.#limit);
    this.grid.dataset.count = shown.length;
    this.grid.classList.toggle("is-long", shown.length > SHORT);
    arrange(this.grid, shown.map((it) => this.#button(it).node));
    for (const it of shown) this.#syncButton(this.#buttons.get(it.selection_id), it);
    this.all.hidden = this.#limit < FIRST || shown.length >= market.selections.size;
    if (!this.all.hidden) setText(this.all, `Show all ${market.selections.size}`);
  }

  #button(selection) {
    const known = this.#buttons.get(selection.selection_id);
    if (known) return known;
    const price = h("span", { class: "price-odds" });
    const node = h("button", { type: "button", class: "price", "aria-pressed": "false",
      "data-market": this.market.market_id, "data-selection": selection.selection_id },
    h("span", { class: "price-name" }, selection.name), price);
    const made = { node, price, odds: 0, view: "" };
    this.#buttons.set(selection.selection_id, made);
    return made;
  }

  #syncButton(button, selection) {
    const why = blockedOnBoard(this.market, selection);
    const picked = this.#isPicked(this.market.market_id, selection.selection_id);
    const result = selection.result?.outcome ?? "";
    const view = `${selection.odds} ${why} ${picked} ${result} ${oddsFormat.value}`;
    if (view === button.view) return;
    button.view = view;
    const { node, price } = button;
    node.disabled = Boolean(why) && !picked;
    node.setAttribute("aria-pressed", String(picked));
    node.dataset.state = result ? "result" : why;
    node.dataset.outcome = result;
    price.replaceChildren(...priceNodes(selection, why, result));
    if (!why && button.odds && selection.odds && selection.odds !== button.odds) {
      this.#flashes.start(node, selection.odds > button.odds ? "up" : "down");
    }
    button.odds = selection.odds;
  }
}

function priceNodes(selection, why, result) {
  const hush = (text) => h("span", { class: "hush" }, text);
  if (selection.withdrawn) return ["Withdrawn"];
  if (result === "won") return [icon("check"), hush("Won")];
  if (result === "lost") return [icon("close"), hush("Lost")];
  if (result) return [words(result)];
  if (why === "suspended" || why === "closed") return [icon("lock"), hush(why)];
  if (why) return ["–", hush("no price")];
  if (!selection.odds) return [oddsText(0), hush("starting price")];
  return [icon("up"), icon("down"), oddsText(selection.odds, oddsFormat.value)];
}

/** Ends the flash of each button some seconds after its last move, with one timer for all. */
export class Flashes {
  #ends = new Map();
  #timer = 0;

  start(button, way) {
    button.classList.remove("up", "down");
    button.classList.add(way);
    this.#ends.delete(button);
    this.#ends.set(button, performance.now() + FLASH_MS);
    this.#timer ||= setTimeout(() => this.#sweep(), FLASH_MS);
  }

  #sweep() {
    const now = performance.now();
    for (const [button, end] of this.#ends) {
      if (end > now) {
        this.#timer = setTimeout(() => this.#sweep(), end - now);
        return;
      }
      button.classList.remove("up", "down");
      this.#ends.delete(button);
    }
    this.#timer = 0;
  }
}
