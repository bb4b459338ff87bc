// One selection on the betslip: what the player agreed to, what the price is now, the stake of its
// single, and how far that has come.

import { blocked, offersSp } from "./book.js";
import { h, icon, setText } from "./dom.js";
import {
  eachWayPayout, major, money, oddsText, parseAmount, payout, roundMoney,
} from "./format.js";
import { termsText } from "./kinds.js";
import { SINGLES, SLIPS } from "./placing.js";
import { Progress } from "./progress.js";
import { Promised } from "./promised.js";
import { oddsFormat, policy, wallet } from "./store.js";

const QUICK_MAJOR = [5, 10, 25, 50];

const BLOCKED = {
  suspended: "Suspended: wait a moment or remove it.",
  closed: "Closed: no more bets on this market.",
  unavailable: "Not offered at the moment.",
  sp: "Not to be had at the starting price any more.",
};

export class Line {
  constructor(item, slipView) {
    this.item = item;
    this.slip = slipView;
    this.id = `${item.market_id} ${item.selection_id}`;
    this.#build();
  }

  /** The price now, or the agreed one while none is known. */
  get current() {
    return this.slip.selection(this.item)?.odds || this.item.agreed;
  }

  /** Whether it is wanted at the starting price, in place of the one on the board. */
  get atSp() {
    return Boolean(this.item.sp);
  }

  get offersSp() {
    return offersSp(this.slip.market(this.item));
  }

  get blocked() {
    return this.blockedAt(this.atSp ? this.offersSp : undefined);
  }

  /** The same, where it is known whether there is a price for it. */
  blockedAt(priced) {
    return blocked(this.slip.market(this.item), this.slip.selection(this.item), priced);
  }

  get lineIds() {
    return [this.id];
  }

  get name() {
    return this.item.selection_name;
  }

  /** Whether the policy takes the present price without asking. */
  get taken() {
    if (this.atSp) return true;
    const moved = this.current - this.item.agreed;
    return policy.value === "any" || (policy.value === "better" && moved >= 0) || moved === 0;
  }

  get mustAccept() {
    return !this.blocked && !this.taken;
  }

  /** The price the bet would be sent with. */
  get effective() {
    return this.taken ? this.current : this.item.agreed;
  }

  /** {places, divisor} where the market pays places, or undefined. */
  get terms() {
    return this.slip.market(this.item)?.terms?.each_way;
  }

  /** Whether the single is half on winning and half on being placed. */
  get eachWay() {
    return Boolean(this.item.each_way && this.terms);
  }

  /** The longest that its market makes a bet wait, in ms. */
  get delayMs() {
    const market = this.slip.market(this.item);
    return market?.in_play ? market.bet_delay_ms : 0;
  }

  /** What a slip has of it. */
  get leg() {
    const { market_id, selection_id, banker } = this.item;
    const price = this.atSp ? { sp: true } : { odds: this.effective };
    return { market_id, selection_id, ...price, ...(banker && { banker }) };
  }

  /**
   * {stake, payout, placed} in minor units, or null while the stake can't be used. At the starting
   * price {stake, bySp}: what it pays is known at the off.
   */
  amounts() {
    if (!wallet.value) return null;
    const { minor, error } = parseAmount(this.item.stake, wallet.value.minor_digits);
    const stake = this.eachWay ? 2 * minor : minor;
    if (error || this.#beyond(stake)) return null;
    if (this.atSp) return { stake, bySp: true };
    if (!this.eachWay) return { stake, payout: payout(stake, this.effective) };
    const { won, placed } = eachWayPayout(minor, this.effective, this.terms.divisor);
    return { stake, payout: won, placed };
  }

  get asSlip() {
    return this.eachWay || this.atSp;
  }

  /** What to send for the single, and where: as a slip where only that can be said. */
  request({ asSlip = this.asSlip } = {}) {
    const stake_minor = this.amounts().stake;
    const { currency } = wallet.value;
    const accept = policy.value;
    const { market_id, selection_id } = this.item;
    const odds = this.effective;
    if (!asSlip) {
      return {
        path: SINGLES,
        body: { market_id, selection_id, stake_minor, currency, odds, accept },
        legs: [this.id],
      };
    }
    const legs = [{ ...this.leg, banker: false }];
    const each_way = this.eachWay;
    return {
      path: SLIPS,
      body: { kind: "single", legs, stake_minor, currency, accept, each_way },
      legs: [this.id],
    };
  }

  /** What to type for a stake at that limit, which each-way is for both halves. */
  #toType(limit, least) {
    if (!this.eachWay || limit === undefined) return limit;
    return least ? Math.ceil(limit / 2) : Math.floor(limit / 2);
  }

  /** The limit that a stake breaks: {text, minor, least} or null. */
  #beyond(stake) {
    const limits = this.slip.market(this.item)?.limits;
    if (!limits) return null;
    if (stake < limits.min_stake_minor) {
      const least = money(limits.min_stake_minor, wallet.value);
      const text = `The smallest stake here is ${least}.`;
      return { text, minor: limits.min_stake_minor, least: true };
    }
    if (stake > limits.max_stake_minor) {
      const most = money(limits.max_stake_minor, wallet.value);
      return { text: `The largest stake here is ${most}.`, minor: limits.max_stake_minor };
    }
    return null;
  }

  #build() {
    const { item } = this;
    const inputId = `stake-${this.id.replace(/[^\w-]/g, "-")}`;
    this.removeButton = h("button", { type: "button", class: "bare",
      "aria-label": `Remove ${item.selection_name}`,
      onclick: () => this.slip.remove(this) }, icon("close"));
    this.was = h("s", { class: "was" });
    this.move = h("span", { class: "move" });
    this.price = h("strong", { class: "figure" });
    this.input = h("input", { id: inputId, class: "stake", type: "text", inputmode: "decimal",
      autocomplete: "off", placeholder: "0.00", enterkeyhint: "done",
      "aria-describedby": `${inputId}-note` });
    this.input.value = item.stake;
    this.input.addEventListener("input", () => this.#stake(this.input.value));
    this.quick = h("div", { class: "quick", role: "group", "aria-label": "Quick stakes" });
    this.returns = h("span", { class: "returns" });
    this.note = h("p", { class: "note", id: `${inputId}-note` });
    this.fix = h("button", { type: "button", class: "fix" });
    this.fix.addEventListener("click", () => this.#stake(this.fix.dataset.stake, true));
    this.deposit = h("a", { class: "fix", href: "#/account" }, "Deposit");
    this.acceptButton = h("button", { type: "button", class: "accept" });
    this.acceptButton.addEventListener("click", () => {
      this.accept();
      this.slip.save();
      this.slip.sync();
      if (!this.mustAccept) document.getElementById("place").focus();
    });
    this.eachWayBox = h("input", { type: "checkbox" });
    this.eachWayBox.checked = Boolean(item.each_way);
    this.eachWayBox.addEventListener("change", () => {
      item.each_way = this.eachWayBox.checked;
      this.#stake(item.stake);
    });
    this.spBox = h("input", { type: "checkbox" });
    this.spBox.checked = this.atSp;
    this.spBox.addEventListener("change", () => {
      item.sp = this.spBox.checked;
      // Who takes the price on the board instead takes the one that is there now.
      if (!item.sp) item.agreed = this.current;
      this.#stake(item.stake);
    });
    this.spRow = h("label", { class: "check" }, this.spBox, h("span", {}, "At the starting price",
      h("span", { class: "hush" }, `, ${item.selection_name}`)));
    this.eachWayText = h("span", {});
    this.eachWayRow = h("label", { class: "check" }, this.eachWayBox, this.eachWayText);
    this.bankerButton = h("button", { type: "button", class: "banker",
      "aria-label": `Banker: ${item.selection_name} in every line`,
      onclick: () => this.slip.toggleBanker(this) }, "Banker");
    this.form = h("div", { class: "line-form" },
      h("div", { class: "stake-row" },
        h("label", { for: inputId }, "Stake", h("span", { class: "hush" },
          ` on ${item.selection_name}`)), this.input, this.quick),
      this.eachWayRow, this.returns);
    this.promised = new Promised(() => this.slip.take(this));
    this.progress = new Progress(() => this.slip.check(this));
    this.node = h("li", { class: "line" },
      h("div", { class: "line-head" },
        h("p", { class: "line-name" }, item.selection_name),
        h("p", { class: "line-price" }, this.was, this.move, this.price),
        this.removeButton,
        h("p", { class: "soft" }, `${item.market_name} · ${item.fixture_name}`),
        this.bankerButton),
      this.spRow,
      this.form,
      h("div", { class: "line-say", role: "status" },
        this.note, this.fix, this.deposit, this.acceptButton),
      this.promised.node,
      this.progress.node);
  }

  /** Agree to the price on the button, even if it moved again under the finger. */
  accept() {
    this.item.agreed = Number(this.acceptButton.dataset.odds);
    this.item.refusal = this.item.promise = null;
  }

  #stake(text, show = false) {
    this.item.stake = text;
    this.item.refusal = this.item.promise = null;
    if (show) {
      this.input.value = text;
      this.input.focus();
    }
    this.slip.save();
    this.slip.sync();
  }

  sync() {
    const { item } = this;
    const { attempt } = item;
    const idle = !attempt;
    // What a bet on its way has among its legs stays as it is.
    const still = this.slip.underWay(this);
    this.node.classList.toggle("is-blocked", idle && Boolean(this.blocked));
    this.node.classList.toggle("is-clashing", this.slip.clashes(this));
    this.removeButton.hidden = still;
    this.bankerButton.hidden = !this.slip.takesBankers || this.slip.isJoined(this);
    this.spRow.hidden = !idle || !(this.offersSp || this.atSp) || this.slip.isJoined(this);
    this.spBox.disabled = still;
    this.bankerButton.disabled = still;
    this.bankerButton.setAttribute("aria-pressed", String(Boolean(item.banker)));
    this.form.hidden = !idle;
    this.#syncPrice(idle);
    this.#syncStake();
    this.#syncSay(idle);
    this.promised.sync(item.promise, wallet.value, oddsFormat.value);
    this.progress.sync(attempt);
  }

  #syncPrice(idle) {
    const { item } = this;
    const now = item.attempt?.odds ?? (this.atSp ? 0 : this.current);
    const moved = idle && !this.atSp && now !== item.agreed;
    const up = now > item.agreed;
    this.was.hidden = this.move.hidden = !moved;
    setText(this.price, oddsText(now, oddsFormat.value));
    if (!moved) return;
    setText(this.was, oddsText(item.agreed, oddsFormat.value));
    this.move.className = `move ${up ? "up" : "down"}`;
    this.move.replaceChildren(icon(up ? "up" : "down"),
      h("span", { class: "hush" }, up ? "risen to" : "fallen to"));
  }

  #syncStake() {
    const purse = wallet.value;
    const { terms } = this;
    this.eachWayRow.hidden = !terms;
    if (terms) setText(this.eachWayText, termsText(terms));
    // With several selections there is no room for them, and most stakes are on what these make.
    this.quick.hidden = !purse || this.slip.legLines.length > 1;
    if (!purse) {
      setText(this.returns, "");
      return;
    }
    if (this.quick.dataset.currency !== purse.currency) {
      this.quick.dataset.currency = purse.currency;
      const unit = 10 ** purse.minor_digits;
      this.quick.replaceChildren(...QUICK_MAJOR.map((amount) =>
        h("button", { type: "button", onclick: () => this.#stake(String(amount), true) },
          roundMoney(amount * unit, purse))));
      this.input.placeholder = purse.minor_digits ? "0.".padEnd(2 + purse.minor_digits, "0") : "0";
    }
    const sums = this.amounts();
    setText(this.returns, sums ? returnsText(sums, purse) : "");
    // A stake that was placed is gone.
    if (this.input.value !== this.item.stake) this.input.value = this.item.stake;
  }

  #syncSay(idle) {
    const { item } = this;
    const say = idle ? this.#say() : {};
    setText(this.note, say.text ?? "");
    this.note.className = `note ${say.tone ?? ""}`;
    this.note.hidden = !say.text;
    this.input.setAttribute("aria-invalid", String(Boolean(say.stakeWrong)));
    this.fix.hidden = !(say.stake > 0 && wallet.value);
    if (!this.fix.hidden) {
      setText(this.fix, `Stake ${money(say.stake, wallet.value)}`);
      this.fix.dataset.stake = major(say.stake, wallet.value.minor_digits);
    }
    this.deposit.hidden = !(idle && item.refusal?.deposit);
    this.acceptButton.hidden = !(idle && this.mustAccept);
    if (!this.acceptButton.hidden) {
      setText(this.acceptButton, `Accept ${oddsText(this.current, oddsFormat.value)}`);
      this.acceptButton.dataset.odds = this.current;
    }
  }

  /** The one thing to say about a line at rest: {text, tone, stake (a correction), stakeWrong}. */
  #say() {
    const { item } = this;
    if (this.blocked && this.slip.market(item)) {
      const gone = this.atSp && this.blocked === "unavailable";
      return { text: gone ? BLOCKED.sp : BLOCKED[this.blocked], tone: "bad" };
    }
    if (item.refusal) {
      const { text, max_stake_minor: most, min_stake_minor: least } = item.refusal;
      const stake = this.#toType(most ?? least, most === undefined);
      return { text, tone: "bad", stake };
    }
    if (item.stake.trim() && wallet.value) {
      const { minor, error } = parseAmount(item.stake, wallet.value.minor_digits);
      if (error) return { text: error, tone: "bad", stakeWrong: true };
      const beyond = this.#beyond(this.eachWay ? 2 * minor : minor);
      if (beyond) {
        const stake = this.#toType(beyond.minor, beyond.least);
        return { text: beyond.text, tone: "bad", stake, stakeWrong: true };
      }
    }
    const moved = this.current - item.agreed;
    if (!moved || this.atSp) return {};
    const way = moved > 0 ? "risen" : "fallen";
    return this.taken
      ? { text: `The price has ${way}; your setting accepts it.`, tone: moved > 0 ? "good" : "" }
      : { text: `The price has ${way} since you chose it.`, tone: moved > 0 ? "good" : "bad" };
  }
}

function returnsText(sums, purse) {
  if (sums.bySp) return `${money(sums.stake, purse)} in all. Pays by the starting price`;
  const pays = `Pays ${money(sums.payout, purse)} if it wins`;
  if (sums.placed === undefined) return pays;
  return `${money(sums.stake, purse)} in all. ${pays}, ${money(sums.placed, purse)} if placed`;
}
