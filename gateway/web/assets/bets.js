// My bets: open ones and settled ones, kept up to date by the stream.

import { explain, get } from "./api.js";
import { arrange, h, LATE_TEXT, setText, toast } from "./dom.js";
import { money, oddsText, timeText, words } from "./format.js";
import { oddsFormat, session, wallet } from "./store.js";

const PAGE = 20;
const LATE_MS = 2_000;
const TABS = { open: "Open", settled: "Settled" };

export class Bets {
  #root;
  #tab = "open";
  #bets = new Map();
  #cursor = null;
  #asked = 0;
  #late = 0;
  #visible = false;

  constructor(root, { openLogin }) {
    this.#root = root;
    this.#build(openLogin);
    for (const signal of [wallet, oddsFormat]) signal.follow(() => this.#sync());
    session.follow(() => {
      this.#bets.clear();
      this.#cursor = null;
      this.#sync();
      if (this.#visible) this.load();
    });
  }

  #build(openLogin) {
    this.tabs = h("div", { class: "chips", role: "group", "aria-label": "Which bets" },
      ...Object.entries(TABS).map(([state, label]) =>
        h("button", { type: "button", class: "chip", "data-state": state,
          onclick: () => this.#choose(state) }, label)));
    this.problem = h("p", { class: "notice bad", role: "alert", hidden: true });
    this.lateNote = h("p", { class: "notice", hidden: true }, LATE_TEXT);
    this.nothing = h("p", { class: "nothing" });
    this.list = h("ol", { class: "bets", role: "list" });
    this.more = h("button", { type: "button", class: "more", hidden: true,
      onclick: () => this.load(this.#cursor) }, "Show more");
    this.inside = h("div", {},
      this.tabs, this.problem, this.lateNote, this.nothing, this.list, this.more);
    this.outside = h("div", { class: "nothing" },
      h("p", {}, "Log in to see your bets."),
      h("button", { type: "button", class: "primary", onclick: () => openLogin() }, "Log in"));
    this.#root.append(
      h("div", { class: "bar" }, h("h1", {}, "My bets")), this.inside, this.outside);
  }

  show(visible) {
    this.#visible = visible;
    if (visible) this.load();
  }

  #choose(state) {
    this.#tab = state;
    this.#bets.clear();
    this.#cursor = null;
    this.#sync();
    this.load();
  }

  /** Read a page: the first one anew, or the one at `cursor` below what is there. */
  async load(cursor = null) {
    if (!session.value) return;
    const asked = ++this.#asked;
    this.more.disabled = true;
    try {
      const page = await get("/v1/bets", { state: this.#tab, cursor, limit: String(PAGE) });
      if (asked !== this.#asked) return;
      if (!cursor) this.#bets.clear();
      for (const bet of page.items) this.#bets.set(bet.bet_id, bet);
      this.#cursor = page.next_cursor ?? null;
      this.#fail("");
      this.#catchUp(page);
    } catch (error) {
      if (asked === this.#asked && session.value) this.#fail(explain(error));
    }
    this.more.disabled = false;
    this.#sync();
  }

  /** The list is made behind the bets; where it says that it is late, it is read once more. */
  #catchUp(page) {
    clearTimeout(this.#late);
    this.lateNote.hidden = page.up_to_date;
    if (!page.up_to_date) this.#late = setTimeout(() => this.#visible && this.load(), LATE_MS);
  }

  #fail(text) {
    setText(this.problem, text);
    this.problem.hidden = !text;
  }

  /** A bet was placed, settled, or settled anew. */
  update(bet, { aloud = true } = {}) {
    if (aloud && bet.state !== "open" && wallet.value) announce(bet);
    const belongs = (bet.state === "open") === (this.#tab === "open");
    if (belongs) {
      // Newest first: a bet that comes in goes to the top, one that is there stays in place.
      this.#bets = this.#bets.has(bet.bet_id)
        ? this.#bets.set(bet.bet_id, bet)
        : new Map([[bet.bet_id, bet], ...this.#bets]);
    } else {
      this.#bets.delete(bet.bet_id);
    }
    this.#sync();
  }

  #sync() {
    this.outside.hidden = Boolean(session.value);
    this.inside.hidden = !session.value;
    for (const tab of this.tabs.children) {
      tab.setAttribute("aria-pressed", String(tab.dataset.state === this.#tab));
    }
    this.nothing.hidden = this.#bets.size > 0;
    setText(this.nothing, this.#tab === "open"
      ? "No open bets. Choose a price on the board to begin."
      : "No settled bets yet.");
    this.more.hidden = !this.#cursor;
    if (!wallet.value) return;
    this.nodes ??= new Map();
    const kept = new Map();
    for (const bet of this.#bets.values()) {
      const view = [bet.bet_id, bet.state, bet.payout_minor, oddsFormat.value].join();
      kept.set(view, this.nodes.get(view) ?? betNode(bet));
    }
    this.nodes = kept;
    arrange(this.list, [...kept.values()]);
  }
}

function announce(bet) {
  const [leg] = bet.legs;
  const paid = money(bet.payout_minor, wallet.value);
  const what = `${leg.selection_name}, ${leg.fixture_name}.`;
  const texts = {
    won: `Bet won: ${what} ${paid} paid.`,
    lost: `Bet lost: ${what}`,
    void: `Bet void: ${what} Your stake of ${paid} is back.`,
    half_won: `Bet half won: ${what} ${paid} paid.`,
    half_lost: `Bet half lost: ${what} ${paid} is back.`,
  };
  const good = bet.state === "won" || bet.state === "half_won";
  toast(texts[bet.state], good ? "good" : "plain");
}

function betNode(bet) {
  const purse = { currency: bet.currency, minor_digits: wallet.value.minor_digits };
  const [leg] = bet.legs;
  const open = bet.state === "open";
  const pair = (name, value) =>
    h("div", {}, h("dt", {}, name), h("dd", { class: "figure" }, value));
  return h("li", { class: "bet", "data-bet": bet.bet_id, "data-state": bet.state },
    h("div", { class: "bet-head" },
      h("div", {},
        h("p", { class: "line-name" }, leg.selection_name, " ",
          h("strong", { class: "figure at" }, `at ${oddsText(leg.odds, oddsFormat.value)}`)),
        h("p", { class: "soft" }, `${leg.market_name} · ${leg.fixture_name}`,
          leg.in_play ? " · in play" : "")),
      h("span", { class: `state state-${bet.state}` }, words(bet.state))),
    h("dl", { class: "bet-sums" },
      pair("Stake", money(bet.stake_minor, purse)),
      open
        ? pair("Pays if it wins", money(bet.potential_payout_minor, purse))
        : pair("Paid", money(bet.payout_minor, purse))),
    h("p", { class: "bet-foot soft" },
      h("time", { datetime: bet.placed_at }, timeText(bet.placed_at)), " · ",
      h("code", {}, bet.bet_id)));
}
