// The board: which fixtures are on it, in play and upcoming, and in what order. Cards are made
// once, and moved or dropped when the fixture is.

import { explain, get } from "./api.js";
import { blockedOnBoard } from "./book.js";
import { Card, Flashes } from "./card.js";
import { arrange, h, setText } from "./dom.js";
import { ODDS_FORMATS, words } from "./format.js";
import { oddsFormat } from "./store.js";

const PAGE = 40;
/** More than anybody reads, and fewer than one connection may follow. */
const MAX_CARDS = 400;
const LEAVES_MS = 15_000;
const LATE_MS = 1_000;
const LATEST_MS = 30_000;
const OVER = new Set(["ended", "cancelled"]);

export class Board {
  #root;
  #book;
  #onPick;
  #isPicked;
  #onWanted;
  #sport = "";
  #cards = new Map();
  #cursors = { in_play: null, scheduled: null };
  #asked = 0;
  #late = 0;
  #lateMs = LATE_MS;
  /** Ids of fixtures that went in play and don't belong on the board as it is. */
  #elsewhere = new Set();
  #flashes = new Flashes();

  /**
   * `pick(fixture, market, selection)` puts a price on the slip or off, `isPicked` says whether it
   * is there, `wanted()` is called when the fixtures on the board are others than before.
   */
  constructor(root, book, { pick, isPicked, wanted }) {
    this.#root = root;
    this.#book = book;
    this.#onPick = pick;
    this.#isPicked = isPicked;
    this.#onWanted = wanted;
    this.#build();
    book.follow((changes) => this.#changed(changes));
    oddsFormat.follow(() => this.syncAll());
  }

  fixtureIds() {
    return [...this.#cards.keys()];
  }

  #build() {
    this.sports = h("div", { class: "chips", role: "group", "aria-label": "Sports" });
    const format = h("select", { id: "odds-format" },
      ...Object.entries(ODDS_FORMATS).map(([value, label]) => h("option", { value }, label)));
    format.value = oddsFormat.value;
    format.addEventListener("change", () => oddsFormat.set(format.value));
    this.problem = h("p", { class: "notice", role: "alert", hidden: true });
    this.sections = {
      in_play: this.#section("in_play", "In play"),
      scheduled: this.#section("scheduled", "Upcoming"),
    };
    this.nothing = h("p", { class: "nothing", hidden: true },
      "Nothing to bet on here at the moment. New fixtures appear by themselves.");
    this.#root.append(
      h("div", { class: "bar" },
        h("h1", {}, "Sports"),
        h("label", { class: "odds-format" }, h("span", {}, "Odds"), format)),
      this.sports, this.problem, this.nothing,
      this.sections.in_play.node, this.sections.scheduled.node);
    this.#root.addEventListener("click", (event) => this.#clicked(event));
  }

  #section(phase, title) {
    const list = h("div", { class: "cards" });
    const more = h("button", { type: "button", class: "more", hidden: true,
      onclick: () => this.#more(phase) }, "Show more");
    const node = h("section", { class: `phase phase-${phase}`, hidden: true },
      h("h2", {}, title), list, more);
    return { node, list, more };
  }

  // What is on it

  /**
   * Read the sports and the first page of each list again. What has ended meanwhile is not asked
   * for: the stream says so of every fixture on the board. The lists are made behind the fixtures;
   * where they say that they are late, or no answer came, they are read once more.
   */
  async refresh() {
    const asked = ++this.#asked;
    clearTimeout(this.#late);
    try {
      const [sports, live, later] = await Promise.all([
        get("/v1/sports"), this.#page("in_play"), this.#page("scheduled"),
      ]);
      if (asked !== this.#asked) return;
      this.problem.hidden = true;
      this.#showSports(sports.items);
      this.#take("in_play", live);
      this.#take("scheduled", later);
      this.#arrange();
      if ([sports, live, later].every((it) => it.up_to_date)) this.#lateMs = LATE_MS;
      else this.#refreshSoon();
    } catch (error) {
      if (asked !== this.#asked) return;
      setText(this.problem, explain(error));
      this.problem.hidden = false;
      this.#refreshSoon();
    }
  }

  #refreshSoon() {
    // Spread out, so that not all pages ask at once.
    this.#late = setTimeout(() => this.refresh(), this.#lateMs * (0.5 + Math.random()));
    this.#lateMs = Math.min(2 * this.#lateMs, LATEST_MS);
  }

  #page(phase, cursor = "") {
    return get("/v1/fixtures", { sport: this.#sport, phase, cursor, limit: String(PAGE) });
  }

  #take(phase, page) {
    this.#cursors[phase] = page.next_cursor ?? null;
    for (const fixture of page.items) {
      this.#book.load(fixture);
      this.#show(fixture.fixture_id);
    }
  }

  async #more(phase) {
    const { more } = this.sections[phase];
    more.disabled = true;
    try {
      this.#take(phase, await this.#page(phase, this.#cursors[phase]));
      this.#arrange();
    } catch (error) {
      setText(this.problem, explain(error));
      this.problem.hidden = false;
    }
    more.disabled = false;
  }

  /** A fixture was created somewhere. */
  created(fixture) {
    this.#refreshSportsSoon();
    if (this.#sport && fixture.sport !== this.#sport) return;
    this.#book.load(fixture);
    this.#show(fixture.fixture_id);
    this.#arrange();
  }

  /** Some fixture went on: it may have moved between the lists, or be over. */
  phaseChanged(delta) {
    this.#refreshSportsSoon();
    const card = this.#cards.get(delta.fixture_id);
    if (card && OVER.has(delta.phase)) this.#leave(card);
    else if (!card && delta.phase === "in_play") this.#fetch(delta.fixture_id);
  }

  /** A fixture from beyond the pages that were read has gone in play. */
  async #fetch(fixtureId) {
    if (this.#elsewhere.has(fixtureId)) return;
    this.#elsewhere.add(fixtureId);
    try {
      this.created(await get(`/v1/fixtures/${fixtureId}`));
    } catch {
      // It is on the list when the board is read the next time.
    }
  }

  #refreshSportsSoon() {
    this.sportsTimer ??= setTimeout(async () => {
      this.sportsTimer = undefined;
      try {
        this.#showSports((await get("/v1/sports")).items);
      } catch {
        // The counts are a courtesy; the next change brings them up to date.
      }
    }, 1000);
  }

  #show(fixtureId) {
    const fixture = this.#book.fixture(fixtureId);
    if (this.#cards.has(fixtureId) || !fixture || OVER.has(fixture.phase)) return;
    if (this.#cards.size >= MAX_CARDS) return;
    this.#cards.set(fixtureId, new Card(fixture, this.#flashes, this.#isPicked));
  }

  #leave(card) {
    if (card.leaving) return;
    // Long enough to read the final score and the results.
    card.leaving = setTimeout(() => {
      this.#drop(card.fixtureId);
      this.#arrange();
    }, LEAVES_MS);
  }

  #drop(fixtureId) {
    const card = this.#cards.get(fixtureId);
    clearTimeout(card.leaving);
    this.#cards.delete(fixtureId);
  }

  #arrange() {
    const lists = { in_play: [], scheduled: [] };
    for (const card of this.#cards.values()) {
      const fixture = this.#book.fixture(card.fixtureId);
      // What is over stays where it was until it leaves.
      if (!OVER.has(fixture.phase)) card.list = fixture.phase;
      lists[card.list].push({ card, fixture });
    }
    for (const [phase, entries] of Object.entries(lists)) {
      entries.sort((a, b) =>
        a.fixture.starts_at.localeCompare(b.fixture.starts_at) ||
        a.fixture.name.localeCompare(b.fixture.name));
      const { node, list, more } = this.sections[phase];
      arrange(list, entries.map((it) => it.card.node));
      more.hidden = !this.#cursors[phase] || this.#cards.size >= MAX_CARDS;
      node.hidden = entries.length === 0;
    }
    this.nothing.hidden = this.#cards.size > 0;
    this.#onWanted();
  }

  #showSports(sports) {
    const total = sports.reduce((sum, it) => sum + it.fixtures, 0);
    const all = [{ sport: "", fixtures: total }, ...sports];
    this.sports.replaceChildren(...all.map(({ sport, fixtures }) => {
      const chip = h("button", { type: "button", class: "chip", "data-sport": sport,
        "aria-pressed": String(sport === this.#sport) },
      sport ? words(sport) : "All", h("b", {}, String(fixtures)));
      return chip;
    }));
  }

  #chooseSport(sport) {
    this.#sport = sport;
    this.#elsewhere.clear();
    for (const chip of this.sports.children) {
      chip.setAttribute("aria-pressed", String(chip.dataset.sport === sport));
    }
    for (const [fixtureId] of this.#cards) {
      const fixture = this.#book.fixture(fixtureId);
      if (sport && fixture.sport !== sport) this.#drop(fixtureId);
    }
    this.#arrange();
    this.refresh();
  }

  // What happens on it

  #clicked(event) {
    const button = event.target.closest("button");
    if (!button) return;
    const { sport, market: marketId, selection: selectionId } = button.dataset;
    if (sport !== undefined) this.#chooseSport(sport);
    if (!selectionId) return;
    const market = this.#book.market(marketId);
    const selection = this.#book.selection(marketId, selectionId);
    const fixture = this.#book.fixture(marketId.slice(0, marketId.lastIndexOf(":")));
    if (!blockedOnBoard(market, selection) || this.#isPicked(marketId, selectionId)) {
      this.#onPick(fixture, market, selection);
    }
  }

  #changed(changes) {
    let moved = false;
    for (const [fixtureId, marketIds] of changes) {
      const card = this.#cards.get(fixtureId);
      if (!card) continue;
      const fixture = this.#book.fixture(fixtureId);
      const { phase } = card;
      card.sync(fixture, marketIds);
      if (card.phase !== phase) {
        moved = true;
        if (OVER.has(card.phase)) this.#leave(card);
      }
    }
    if (moved) this.#arrange();
  }

  /** Bring every price button up to date: the notation or the slip has changed. */
  syncAll() {
    for (const [fixtureId, card] of this.#cards) card.syncAll(this.#book.fixture(fixtureId));
  }
}
