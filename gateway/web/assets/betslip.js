// The betslip: selections, the single of each, the bets of several lines that they make together,
// and the placing of them.

import { explain, get, newKey, Problem } from "./api.js";
import { arrange, h, icon, setText, toast } from "./dom.js";
import { money, roundMoney } from "./format.js";
import { Bonuses } from "./bonuses.js";
import { Joint } from "./joint.js";
import { kindsFor } from "./kinds.js";
import { Line } from "./line.js";
import { Multiple, multipleId, newMultiple } from "./multiple.js";
import { place } from "./placing.js";
import { answered, offerIn, overText, waitingIn } from "./promised.js";
import { receiptNode } from "./receipt.js";
import {
  connection, multiples, oddsFormat, policy, receipts, session, slip, wallet,
} from "./store.js";

const MAX_LINES = 20;
const TICK_MS = 1_000;
/** Selections from which one of them can be a banker and still leave a choice. */
const BANKERS_FROM = 3;
const POLICIES = { none: "Ask me", better: "Accept better", any: "Accept any" };

/**
 * What a refusal means to the player. `name` is the selection of several that it is about, or "".
 * The others explain themselves in `detail`.
 */
function refusalText(problem, purse, name) {
  const facts = problem.document;
  const on = name ? `on ${name}` : "here";
  const of = name ? ` of ${name}` : "";
  switch (problem.code) {
    case "price_changed":
      return `The price${of} moved before your bet was placed. Nothing was taken.`;
    case "market_suspended":
      return `The market${of} was suspended. Nothing was taken; you can try again when it reopens.`;
    case "market_closed":
      return `The market${of} has closed. Nothing was taken.`;
    case "selection_unavailable":
      return `${name || "This selection"} is not offered any more. Nothing was taken.`;
    case "stake_too_small":
      return `The smallest stake ${on} is ${money(facts.min_stake_minor, purse)}.`;
    case "stake_above_limit":
      return `The largest stake ${on} is ${money(facts.max_stake_minor, purse)}.`;
    case "liability_limit":
      return facts.max_stake_minor > 0
        ? `At this price we can take ${money(facts.max_stake_minor, purse)} more ${on}.`
        : `We can't take more on ${name || "this selection"} at the moment.`;
    case "hold_expired":
      return "It took too long to place the bet. Nothing was taken; please try again.";
    case "insufficient_funds":
      return `Your balance is ${money(facts.cash_minor, purse)}.`;
    default:
      return explain(problem);
  }
}

function withBonus(request, bonus) {
  if (!bonus) return request;
  return { ...request, body: { ...request.body, bonus_id: bonus.bonus_id } };
}

/** What all of them can pay together, as far as it is known. */
function returnsOf(sums, purse) {
  if (sums.some((it) => it.bySp)) return "by the starting price";
  if (sums.some((it) => it.payout === null)) return "…";
  return money(sums.reduce((sum, it) => sum + it.payout, 0), purse);
}

export class Betslip {
  #root;
  #book;
  #stream;
  #lines = new Map();
  #multiples = new Map();
  /** Of each match with several selections: these as one leg. */
  #joints = new Map();
  #openLogin;
  #placed;
  /** How the bets of the last press of the button came out. */
  #round = { bets: 0, placed: 0, refused: 0 };

  /** `openLogin()` asks the player to log in; `placed(bet)` is told of every new bet. */
  constructor(root, book, stream, { openLogin, placed }) {
    this.#root = root;
    this.#book = book;
    this.#stream = stream;
    this.#openLogin = openLogin;
    this.#placed = placed;
    this.#build();
    for (const item of slip.value) this.#add(item);
    for (const item of multiples.value) this.#multiples.set(multipleId(item), this.#multiple(item));
    this.#join();
    this.fitted = this.#legNames();
    book.follow((changes) => {
      for (const [fixtureId, joint] of this.#joints) {
        if (changes.has(fixtureId)) joint.quote.refresh();
      }
      if (this.legLines.some((line) => changes.has(line.item.fixture_id))) this.sync();
    });
    for (const signal of [wallet, policy, oddsFormat, session, connection, receipts]) {
      signal.follow(() => this.sync());
    }
    session.follow((now) => (now ? this.#resume(now.player_id) : receipts.set([])));
    setInterval(() => this.#tick(), TICK_MS);
  }

  // What is on it

  /** Ids of the fixtures whose prices the slip needs. */
  fixtureIds() {
    return this.legLines.map((line) => line.item.fixture_id);
  }

  /** Every selection on the slip. */
  get legLines() {
    return [...this.#lines.values()];
  }

  /** The legs of what has several lines: selections, and those of one match as one. */
  get legs() {
    const joints = new Set();
    const legs = [];
    for (const line of this.#lines.values()) {
      const joint = this.#joints.get(line.item.fixture_id);
      if (!joint) legs.push(line);
      else if (!joints.has(joint)) legs.push(joint);
      joints.add(joint);
    }
    return legs;
  }

  get takesBankers() {
    return this.legs.length >= BANKERS_FROM;
  }

  get allEachWay() {
    return this.#lines.size > 0 && this.legs.every((leg) => leg.terms);
  }

  /** Whether it is one of several of its match, under one price with them. */
  isJoined(line) {
    return this.#joints.has(line.item.fixture_id);
  }

  /** All bets that the slip can be: singles, then what has several lines. */
  get #bets() {
    return [...this.#lines.values(), ...this.#multiples.values()];
  }

  /** Whether the selection is on the slip. */
  has(marketId, selectionId) {
    return this.#lines.has(`${marketId} ${selectionId}`);
  }

  /** Whether it is in a bet on its way. */
  underWay(line) {
    return this.#bets.some((bet) => bet.item.attempt?.legs.includes(line.id));
  }

  /** Whether another selection is of the same match and no line can have both. */
  clashes(line) {
    return Boolean(this.#joints.get(line.item.fixture_id)?.isImpossible);
  }

  /** Put a selection on the slip, or take it off again. */
  toggle(fixture, market, selection) {
    const id = `${market.market_id} ${selection.selection_id}`;
    const line = this.#lines.get(id);
    if (line) {
      if (!this.underWay(line)) this.#remove(line);
      return;
    }
    if (this.#lines.size >= MAX_LINES) {
      toast(`The betslip holds ${MAX_LINES} selections. Remove one first.`, "bad");
      return;
    }
    this.#add({
      fixture_id: fixture.fixture_id,
      market_id: market.market_id,
      selection_id: selection.selection_id,
      fixture_name: fixture.name,
      market_name: market.name,
      selection_name: selection.name,
      agreed: selection.odds,
      /** Where there is no price yet, at the one that is known at the off. */
      sp: !selection.odds,
      stake: "",
      each_way: false,
      banker: false,
      attempt: null,
      refusal: null,
      /** What may be had in place of a bet that was not taken, or waits for a trader. */
      promise: null,
      /** Whether a bet with it was placed by the last press of the button. */
      placed: false,
    });
    this.#changed();
  }

  toggleBanker(line) {
    line.item.banker = !line.item.banker;
    this.#changed();
  }

  #add(item) {
    const line = new Line(item, this);
    this.#lines.set(line.id, line);
  }

  #remove(line) {
    this.#lines.delete(line.id);
    this.#changed();
  }

  #multiple(item) {
    return new Multiple(item, this);
  }

  /**
   * Make the bets of several lines those that the selections make now. With other selections they
   * are other bets: a stake that was typed for one of them is forgotten.
   */
  #fit() {
    this.#join();
    const { legs } = this;
    const bankers = this.takesBankers ? legs.filter((leg) => leg.item?.banker).length : 0;
    const free = legs.length - bankers;
    const names = this.#legNames();
    const same = names === this.fitted;
    this.fitted = names;
    const kept = new Map();
    for (const kind of this.#unpriced() ? [] : this.#kinds(free, bankers)) {
      const item = newMultiple(kind, free, bankers);
      const id = multipleId(item);
      const known = this.#multiples.get(id);
      kept.set(id, known && (same || known.item.attempt) ? known : this.#multiple(item));
    }
    for (const [id, known] of this.#multiples) {
      if (known.item.attempt) kept.set(id, known);
    }
    this.#multiples = kept;
  }

  /** What the bets of several lines are made of. */
  #legNames() {
    return this.legLines.map((line) => `${line.id}${line.item.banker ? "*" : ""}`).sort().join("|");
  }

  #kinds(free, bankers) {
    const alone = this.legs.length === 1 && this.#joints.size === 1;
    return alone ? ["single"] : kindsFor(free, bankers);
  }

  /** Selections of one match are one leg. */
  #join() {
    const groups = new Map();
    for (const line of this.#lines.values()) {
      const { fixture_id: fixtureId } = line.item;
      groups.set(fixtureId, [...(groups.get(fixtureId) ?? []), line]);
    }
    for (const [fixtureId, joint] of this.#joints) {
      if (!(groups.get(fixtureId)?.length > 1)) {
        joint.stop();
        this.#joints.delete(fixtureId);
      }
    }
    for (const [fixtureId, lines] of groups) {
      if (lines.length < 2) continue;
      if (!this.#joints.has(fixtureId)) this.#joints.set(fixtureId, this.#joint(fixtureId));
      this.#joints.get(fixtureId).take(lines);
    }
  }

  #joint(fixtureId) {
    const joint = new Joint(fixtureId, () => {
      this.#fit();
      this.sync();
    });
    joint.onAccept(() => {
      this.sync();
      if (!joint.mustAccept) this.button.focus();
    });
    return joint;
  }

  /** The first of them that has never had a price, or undefined. */
  #unpriced() {
    return [...this.#joints.values()].find((joint) => !joint.agreed);
  }

  #changed() {
    this.#fit();
    this.save();
    this.sync();
    this.#root.dispatchEvent(new CustomEvent("slip-changed"));
  }

  save() {
    slip.set(this.legLines.map((line) => line.item));
    multiples.set([...this.#multiples.values()].map((it) => it.item));
  }

  #build() {
    this.empty = h("div", { class: "slip-empty" }, icon("slip"),
      h("p", {}, "Your betslip is empty."),
      h("p", { class: "soft" }, "Choose a price to add a selection."));
    this.outcome = h("p", { class: "outcome" });
    this.receipts = h("ol", { class: "receipts", role: "list" });
    this.seeBets = h("a", { href: "#/bets" }, "See my bets");
    this.done = h("div", { class: "done", role: "status", tabindex: "-1" },
      this.outcome, this.receipts, this.seeBets);
    this.list = h("ol", { class: "slip-lines", role: "list" });
    this.joints = h("ol", { class: "joints", role: "list" });
    this.clashText = h("p", { class: "clash", role: "status" });
    this.multiples = h("ol", { class: "multis", role: "list" });
    this.together = h("section", { class: "together", "aria-labelledby": "together-title" },
      h("h3", { id: "together-title" }, "Multiples ",
        h("span", { class: "soft" }, "stake on each line")),
      this.joints, this.clashText, this.multiples);
    this.policies = h("fieldset", { class: "segments" },
      h("legend", {}, "If the price moves"),
      h("div", {}, ...Object.entries(POLICIES).map(([value, label]) => {
        const input = h("input", { type: "radio", name: "policy", value });
        input.checked = policy.value === value;
        input.addEventListener("change", () => policy.set(value));
        return h("label", {}, input, h("span", {}, label));
      })));
    this.total = h("span", { class: "figure" });
    this.returns = h("span", { class: "figure" });
    this.totals = h("dl", { class: "totals" },
      h("div", {}, h("dt", {}, "Total stake"), h("dd", {}, this.total)),
      h("div", {}, h("dt", {}, "Potential payout"), h("dd", {}, this.returns)));
    this.why = h("p", { class: "why", role: "status" });
    this.acceptAll = h("button", { type: "button", class: "accept",
      onclick: () => this.#acceptAll() }, "Accept all new prices");
    this.button = h("button", { type: "button", class: "primary place", id: "place",
      onclick: () => (session.value ? this.#placeAll() : this.#openLogin()) });
    this.clear = h("button", { type: "button", class: "link", onclick: () => this.#clear() },
      "Clear");
    this.bonuses = new Bonuses(() => this.sync());
    this.foot = h("div", { class: "slip-foot" },
      this.policies, this.bonuses.node, this.totals, this.why, this.acceptAll, this.button);
    const close = h("button", { type: "button", class: "bare slip-close",
      "aria-label": "Close betslip",
      onclick: () => this.#root.dispatchEvent(new CustomEvent("slip-close")) }, icon("close"));
    this.#root.append(
      h("div", { class: "slip-head" }, h("h2", { id: "slip-title" }, "Betslip"), this.clear, close),
      h("div", { class: "slip-body" }, this.empty, this.done, this.list, this.together),
      this.foot,
    );
  }

  #clear() {
    for (const line of this.legLines) if (!this.underWay(line)) this.#lines.delete(line.id);
    receipts.set([]);
    this.#changed();
    this.#root.focus({ preventScroll: true });
  }

  // What it shows

  /** Bring every node up to date with the book, the wallet and the lines. */
  sync() {
    for (const joint of this.#joints.values()) joint.sync();
    for (const bet of this.#bets) bet.sync();
    arrange(this.list, this.legLines.map((line) => line.node));
    arrange(this.multiples, [...this.#multiples.values()].map((it) => it.node));
    this.#syncTogether();
    this.#syncReceipts();
    const under = this.#bets.some((bet) => bet.item.attempt);
    this.empty.hidden = this.#lines.size > 0 || receipts.value.length > 0;
    const busy = this.legLines.every((line) => this.underWay(line));
    this.clear.hidden = busy && !receipts.value.length;
    this.foot.hidden = this.#lines.size === 0;

    const staked = this.#staked();
    const purse = wallet.value;
    const sums = staked.map((bet) => bet.amounts()).filter(Boolean);
    const total = sums.reduce((sum, it) => sum + it.stake, 0);
    this.totals.hidden = !purse || !sums.length;
    this.#syncBonus(staked);
    if (purse) {
      setText(this.total, `${money(total, purse)}${this.#isFree ? ", free" : ""}`);
      setText(this.returns, returnsOf(this.#withBonus(sums), purse));
    }

    const why = this.#whyNot(staked, total);
    setText(this.why, why);
    this.why.hidden = !why;
    this.acceptAll.hidden = this.#toAccept().length < 2;
    this.button.disabled = Boolean(session.value) && (Boolean(why) || !staked.length);
    setText(this.button, this.#buttonText(staked, why ? 0 : total, under));
    this.#badge(this.#lines.size);
  }

  #staked() {
    // What a trader looks at is not asked for again; an offer is only one more thing to be had.
    const waits = ({ item }) => item.promise && item.promise.state !== "offer";
    return this.#bets.filter((bet) => bet.item.stake.trim() && !bet.item.attempt && !waits(bet));
  }

  get #isFree() {
    return this.bonuses.chosen?.kind === "free_stake";
  }

  /** Ask what the one bet with a stake pays with the bonus on it. */
  #syncBonus(staked) {
    this.bonuses.sync();
    const { chosen, quote } = this.bonuses;
    const [bet] = staked;
    const good = chosen && staked.length === 1 && !bet.blocked && bet.amounts();
    quote.want(good ? { ...bet.request({ asSlip: true }).body, bonus_id: chosen.bonus_id } : null);
  }

  /** What the bet pays is what was quoted with the bonus. */
  #withBonus(sums) {
    const { chosen, quote } = this.bonuses;
    if (!chosen || sums.length !== 1) return sums;
    return [{ ...sums[0], payout: quote.value?.potential_payout_minor ?? null }];
  }

  #syncTogether() {
    const joints = [...this.#joints.values()];
    this.together.hidden = this.#lines.size < 2;
    arrange(this.joints, joints.map((joint) => joint.node));
    const clash = joints.find((joint) => joint.isImpossible);
    let text = "";
    if (clash) {
      const names = clash.lines.map((line) => line.item.selection_name).join(" and ");
      text = `${names} are of one match, ${clash.lines[0].item.fixture_name}: no line can have `
        + "both. Remove one to combine the rest.";
    } else if (this.#unpriced()) {
      text = wallet.value ? "Asking for a price of these together…"
        : "Log in for the price of selections of one match together.";
    } else if (!this.#multiples.size) {
      text = "All selections are bankers. One has to be free.";
    }
    setText(this.clashText, text);
    this.clashText.classList.toggle("is-plain", !clash);
    this.clashText.hidden = !text;
  }

  #syncReceipts() {
    const bets = receipts.value;
    const { bets: asked, placed, refused } = this.#round;
    const purse = wallet.value;
    const counted = (count) => `${count} ${count === 1 ? "bet" : "bets"}`;
    const text = asked > 1 && placed + refused > 0
      ? `${counted(placed)} placed${refused ? `, ${refused} refused` : ""}.`
      : "";
    setText(this.outcome, text);
    this.outcome.hidden = !text;
    this.seeBets.hidden = !bets.length;
    if (!purse) return;
    const view = `${oddsFormat.value} ${bets.map((bet) => bet.bet_id).join()}`;
    if (this.receipts.dataset.view === view) return;
    this.receipts.dataset.view = view;
    this.receipts.replaceChildren(...bets.map((bet) => receiptNode(bet, purse, oddsFormat.value)));
  }

  #buttonText(staked, total, under) {
    if (!session.value) return "Log in to bet";
    if (under && !staked.length) return "Placing…";
    if (!staked.length || !wallet.value || !total) return "Place bet";
    const what = staked.length === 1 ? "bet" : `${staked.length} bets`;
    return `Place ${what} · ${roundMoney(total, wallet.value)}`;
  }

  /** Why the button doesn't work yet, or "". */
  #whyNot(staked, total) {
    if (!session.value) return "";
    if (!wallet.value) return "Waiting for your balance…";
    if (staked.some((bet) => bet.blocked)) return "A selection with a stake can't be bet on now.";
    if (staked.some((bet) => bet.mustAccept)) return "Accept the new price first.";
    if (staked.some((bet) => bet.quote?.problem)) return "One of these bets can't be had.";
    if (staked.some((bet) => !bet.amounts())) return "Correct the stake first.";
    const { chosen, quote } = this.bonuses;
    if (chosen && staked.length > 1) return "A bonus is for one bet: stake on one, or take none.";
    if (chosen && quote.problem) return refusalText(quote.problem, wallet.value, "");
    if (total > wallet.value.cash_minor && !this.#isFree) {
      const cash = money(wallet.value.cash_minor, wallet.value);
      return `Your balance is ${cash}. Stake less or deposit.`;
    }
    return "";
  }

  #badge(count) {
    const badge = document.getElementById("slip-badge");
    badge.hidden = count === 0;
    setText(badge, String(count));
  }

  // Placing

  /** Prices that moved, of single selections and of several together. */
  #toAccept() {
    return [...this.legLines, ...this.#joints.values()].filter((it) => it.mustAccept);
  }

  #acceptAll() {
    for (const it of this.#toAccept()) it.accept();
    for (const it of this.#multiples.values()) it.item.refusal = it.item.promise = null;
    this.save();
    this.sync();
    this.button.focus();
  }

  #placeAll() {
    const staked = this.#staked();
    this.#round = { bets: staked.length, placed: 0, refused: 0 };
    receipts.set([]);
    const { chosen } = this.bonuses;
    for (const line of this.legLines) line.item.placed = false;
    for (const bet of staked) {
      bet.item.refusal = bet.item.promise = null;
      // One key for each bet, from here to its answer.
      bet.item.attempt = {
        ...withBonus(bet.request({ asSlip: bet.asSlip || Boolean(chosen) }), chosen),
        key: newKey(),
        player_id: session.value.player_id,
        odds: bet.effective,
        delay_ms: bet.delayMs,
        began_ms: Date.now(),
        phase: "placing",
      };
    }
    for (const bet of staked) this.run(bet);
    this.save();
    this.sync();
  }

  /** Take what is promised in place of a bet, as another bet: its key is new. */
  take(bet) {
    const { item } = bet;
    const { attempt, prices } = item.promise;
    this.#round = { bets: 1, placed: 0, refused: 0 };
    receipts.set([]);
    for (const line of this.legLines) line.item.placed = false;
    item.attempt = {
      ...attempt,
      key: newKey(),
      player_id: session.value.player_id,
      odds: prices[0],
      began_ms: Date.now(),
      phase: "placing",
    };
    item.refusal = item.promise = null;
    this.run(bet);
    this.save();
    this.sync();
  }

  /** A trader was asked about a bet of the player, or has answered. */
  referral(referral) {
    const bet = this.#bets.find((it) => it.item.promise?.referral_id === referral.referral_id);
    if (!bet) return;
    const { promise, text } = answered(bet.item.promise, referral);
    bet.item.promise = promise ?? null;
    if (text) bet.item.refusal = { text };
    this.save();
    this.sync();
  }

  /** What traders have answered while the line was down. */
  async askReferrals() {
    const waiting = this.#bets.map((bet) => bet.item.promise?.referral_id).filter(Boolean);
    for (const id of session.value ? waiting : []) {
      try {
        this.referral(await get(`/v1/referrals/${id}`));
      } catch {
        // Its time runs out here, and it can be asked for anew.
      }
    }
  }

  /** The time of what is promised runs out before the eyes. */
  #tick() {
    const promised = this.#bets.filter((bet) => bet.item.promise);
    for (const { item } of promised) {
      if (Date.now() <= item.promise.until_ms) continue;
      item.refusal = { text: overText(item.promise) };
      item.promise = null;
    }
    if (!promised.length) return;
    if (promised.some(({ item }) => !item.promise)) this.save();
    this.sync();
  }

  /** After a reload or a new log-in: find out what became of the bets that were under way. */
  #resume(playerId) {
    for (const bet of this.#bets) {
      const { attempt, promise } = bet.item;
      if (promise && promise.attempt.player_id !== playerId) bet.item.promise = null;
      if (!attempt || bet.running) continue;
      if (attempt.player_id === playerId) this.check(bet);
      else this.#drop(bet);
    }
    this.askReferrals();
    this.#changed();
  }

  /** Another player's bet is nothing to ask about. */
  #drop(bet) {
    this.#lines.delete(bet.id);
    this.#multiples.delete(bet.id);
  }

  /** Ask again about a bet whose outcome is not known, with the key it has. */
  check(bet) {
    bet.item.attempt.phase = "checking";
    this.run(bet);
    this.sync();
  }

  async run(bet) {
    const { item } = bet;
    const { attempt } = item;
    bet.running = true;
    try {
      const placed = await place(this.#stream, attempt, {
        delayMs: attempt.delay_ms,
        unsure: () => {
          attempt.phase = "checking";
          this.sync();
        },
      });
      item.attempt = null;
      item.stake = "";
      for (const id of attempt.legs) {
        const line = this.#lines.get(id);
        if (line) line.item.placed = true;
      }
      this.#round.placed += 1;
      receipts.set([placed, ...receipts.value]);
      this.#placed(placed);
      if (attempt.body.bonus_id) this.bonuses.load();
    } catch (error) {
      this.#notPlaced(item, error);
    }
    bet.running = false;
    this.#sweep();
    this.#changed();
    this.#giveFocus();
    // Other selections were chosen meanwhile: its row is gone, and its refusal with it.
    if (item.refusal && !this.#bets.includes(bet)) toast(item.refusal.text, "bad");
  }

  /** Take off what is placed, and nothing that another bet is on its way with or to be tried. */
  #sweep() {
    const wanted = ({ item }) =>
      item.attempt || item.refusal || item.promise || item.stake.trim();
    const together = [...this.#multiples.values()].some(wanted);
    for (const line of this.legLines) {
      if (line.item.placed && !wanted(line) && !together) this.#lines.delete(line.id);
    }
  }

  /** The button that was pressed is disabled or gone: who has no pointer goes on from what came. */
  #giveFocus() {
    const under = this.#bets.some((bet) => bet.item.attempt);
    if (under || !this.#round.bets || document.activeElement !== document.body) return;
    const next = this.button.disabled || this.foot.hidden ? this.done : this.button;
    next.focus({ preventScroll: true });
  }

  #notPlaced(item, error) {
    const { attempt } = item;
    if (!(error instanceof Problem)) {
      attempt.phase = "unknown";
    } else if (error.status === 401) {
      // An attempt before this one may have been carried out: the key stays.
      attempt.phase = "login";
    } else {
      const facts = error.document;
      const ids = attempt.of?.[facts.leg ?? 0] ?? attempt.legs;
      const lines = ids.map((id) => this.#lines.get(id)).filter(Boolean);
      const [line] = lines;
      const name = attempt.legs.length > 1 && facts.leg !== undefined
        ? lines.map((it) => it.name).join(" + ")
        : "";
      item.attempt = null;
      if (error.code === "referred") {
        item.promise = waitingIn(attempt, facts);
        return;
      }
      this.#round.refused += 1;
      item.promise = offerIn(attempt, facts);
      const fits = !item.promise && facts.max_stake_minor;
      item.refusal = {
        text: refusalText(error, wallet.value, name),
        max_stake_minor: fits || undefined,
        min_stake_minor: facts.min_stake_minor,
        deposit: error.code === "insufficient_funds",
      };
      if (error.code === "price_changed" && ids.length > 1) {
        this.#joints.get(line?.item.fixture_id)?.hear(facts.odds);
      } else if (error.code === "price_changed" && line) {
        const { market_id: marketId, selection_id: selectionId } = line.item;
        this.#book.hear(marketId, selectionId, facts.odds, facts.odds_version);
      }
    }
  }

  market(item) {
    return this.#book.market(item.market_id);
  }

  selection(item) {
    return this.#book.selection(item.market_id, item.selection_id);
  }

  remove(line) {
    this.#remove(line);
    // The button that had the focus is gone.
    this.#root.focus({ preventScroll: true });
  }
}
