// My bets: open ones and settled ones, kept up to date by the stream.

import { explain, get } from "./api.js";
import { BetCard } from "./betcard.js";
import { arrange, h, LATE_TEXT, setText, toast } from "./dom.js";
import { money } from "./format.js";
import { betName } from "./kinds.js";
import { oddsFormat, session, wallet } from "./store.js";

const PAGE = 20;
const LATE_MS = 2_000;
const TABS = { open: "Open", settled: "Settled", cashed_out: "Cashed out" };
const NOTHING = {
  open: "No open bets. Choose a price on the board to begin.",
  settled: "No settled bets yet.",
  cashed_out: "No bets that were cashed out in full yet.",
};

function tabOf(bet) {
  return bet.state in TABS ? bet.state : "settled";
}


export class Bets {
  #root;
  #tab = "open";
  #bets = new Map();
  #cursor = null;
  #asked = 0;
  #late = 0;
  #visible = false;
  #cards = new Map();
  #paid;
  /** Which cards are on the screen: offers are asked for these only. */
  #seen = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      this.#cards.get(target.dataset.bet)?.cashOut.look(isIntersecting);
    }
  });

  /** `openLogin()` asks the player to log in; `paid()` is told when a bet was cashed out. */
  constructor(root, { openLogin, paid }) {
    this.#root = root;
    this.#paid = paid;
    this.#build(openLogin);
    document.addEventListener("visibilitychange", () => {
      for (const card of this.#cards.values()) card.cashOut.wake();
    });
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
    this.list = h("ol", { class: "bets", role: "list", tabindex: "-1", "aria-label": "Bets" });
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
    if (aloud && wallet.value) announce(bet, this.#bets.get(bet.bet_id));
    if (tabOf(bet) === this.#tab) {
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
    setText(this.nothing, NOTHING[this.#tab]);
    this.more.hidden = !this.#cursor;
    if (!wallet.value) return;
    const kept = new Map();
    for (const [betId, bet] of this.#bets) {
      const card = this.#cards.get(betId) ?? this.#card(bet);
      card.sync(bet);
      kept.set(betId, card);
    }
    for (const [betId, card] of this.#cards) {
      if (!kept.has(betId)) this.#drop(card);
    }
    this.#cards = kept;
    arrange(this.list, [...kept.values()].map((card) => card.node));
  }

  #card(bet) {
    const card = new BetCard(bet, (answer) => this.#cashedOut(bet.bet_id, answer));
    this.#cards.set(bet.bet_id, card);
    this.#seen.observe(card.node);
    return card;
  }

  #drop(card) {
    this.#seen.unobserve(card.node);
    card.cashOut.look(false);
    // What had the focus is gone.
    if (card.node.contains(document.activeElement)) this.list.focus({ preventScroll: true });
  }

  /** A bet was bought back, in part or in full; without an answer it has changed otherwise. */
  async #cashedOut(betId, answer) {
    if (answer) {
      const paid = money(answer.amount_minor, wallet.value);
      toast(answer.state === "open" ? `Cashed out ${paid}. The rest of the bet stays on.`
        : `Cashed out ${paid}.`, "good");
      this.#paid();
    }
    try {
      this.update(await get(`/v1/bets/${betId}`), { aloud: false });
    } catch {
      // The stream tells of it too, and the list is read again.
    }
  }
}

/** Say aloud what became of a bet. `before` is what was known of it, if anything was. */
function announce(bet, before) {
  const paid = money(bet.payout_minor, wallet.value);
  const [leg] = bet.legs;
  const what = bet.legs.length > 1
    ? `${betName(bet)} on ${bet.legs.map((it) => it.selection_name).join(", ")}.`
    : `${leg.selection_name}, ${leg.fixture_name}.`;
  const texts = {
    won: `Bet won: ${what} ${paid} paid.`,
    partly_won: `Bet partly won: ${what} ${paid} paid.`,
    lost: `Bet lost: ${what}`,
    void: `Bet void: ${what} Your stake of ${paid} is back.`,
    half_won: `Bet half won: ${what} ${paid} paid.`,
    half_lost: `Bet half lost: ${what} ${paid} is back.`,
  };
  const good = ["won", "half_won", "partly_won"].includes(bet.state);
  const corrected = (bet.corrections ?? 0) > (before?.corrections ?? 0);
  const text = texts[bet.state] && `${corrected ? "Result corrected. " : ""}${texts[bet.state]}`;
  const cashed = bet.cashed_out_minor !== before?.cashed_out_minor;
  if (text) toast(text, good ? "good" : "plain");
  // Lines of a bet that goes on.
  else if (before && bet.state === "open" && !cashed && bet.payout_minor > before.payout_minor) {
    toast(`${paid} paid so far: ${what}`, "good");
  }
}
