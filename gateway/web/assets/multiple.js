// One bet of several lines that the selections on the slip make: its stake a line, what it comes to
// and pays, and how far it has come.

import { h, setText } from "./dom.js";
import { money, parseAmount } from "./format.js";
import { foldsOf, kindName, linesOf, linesText, SAME_GAME } from "./kinds.js";
import { SLIPS } from "./placing.js";
import { Progress } from "./progress.js";
import { Promised } from "./promised.js";
import { Quote } from "./quote.js";
import { oddsFormat, policy, wallet } from "./store.js";

/** What no single amount exceeds, in minor units. */
const MOST_MINOR = 10 ** 12;

export function multipleId({ kind, free, bankers }) {
  return `${kind} ${free} ${bankers}`;
}

export function newMultiple(kind, free, bankers) {
  return { kind, free, bankers, folds: [], stake: "", each_way: false,
    attempt: null, refusal: null, promise: null };
}

export class Multiple {
  constructor(item, slipView) {
    this.item = item;
    this.slip = slipView;
    this.id = multipleId(item);
    this.quote = new Quote(() => this.slip.sync());
    this.#build();
  }

  get folds() {
    return foldsOf(this.item.kind, this.item.free, this.item.folds);
  }

  get eachWay() {
    return Boolean(this.item.each_way && this.slip.allEachWay);
  }

  get lines() {
    return linesOf(this.folds, this.item.free) * (this.eachWay ? 2 : 1);
  }

  get blocked() {
    return this.slip.legs.some((leg) => leg.blocked);
  }

  get mustAccept() {
    return this.slip.legs.some((leg) => leg.mustAccept);
  }

  get delayMs() {
    return Math.max(0, ...this.slip.legs.map((leg) => leg.delayMs));
  }

  /**
   * {stake, payout, bySp} in minor units, payout null while it is not known; or null. `bySp`: what
   * it pays is known at the off only.
   */
  amounts() {
    const line = this.#lineStake();
    if (line.minor === undefined || this.quote.problem) return null;
    const stake = line.minor * this.lines;
    const quote = this.quote.value;
    // For a moment it may be of the prices before, but not of another stake.
    const payout = quote?.stake_minor === stake ? quote.potential_payout_minor : null;
    return { stake, payout, bySp: this.slip.legs.some((leg) => leg.atSp) };
  }

  /** The stake of one line: {minor} or {error}, or neither while nothing is typed. */
  #lineStake() {
    if (!wallet.value || !this.item.stake.trim()) return {};
    const typed = parseAmount(this.item.stake, wallet.value.minor_digits);
    if (typed.error) return typed;
    if (!this.lines) return { error: "Choose how many selections are in a line." };
    const tooMuch = typed.minor * this.lines > MOST_MINOR;
    return tooMuch ? { error: "That is more than any bet can be." } : typed;
  }

  #slipBody(minor) {
    return {
      kind: this.item.kind,
      legs: this.slip.legs.map((leg) => leg.leg),
      stake_minor: minor * this.lines,
      currency: wallet.value.currency,
      ...(this.item.kind === "system" && { folds: this.item.folds }),
      ...(this.eachWay && { each_way: true }),
    };
  }

  /** What to send for it, and where. */
  request() {
    const body = { ...this.#slipBody(this.#lineStake().minor), accept: policy.value };
    const legs = this.slip.legs.map((leg) => leg.lineIds);
    return { path: SLIPS, body, legs: legs.flat(), of: legs };
  }

  #build() {
    const { item } = this;
    const inputId = `stake-${this.id.replaceAll(" ", "-")}`;
    const winLines = linesOf(this.folds, item.free);
    // One leg is a bet of several only where it has several selections.
    this.name = item.kind === "single" ? SAME_GAME
      : kindName(item.kind, item.free + item.bankers, winLines);
    this.count = h("span", { class: "soft" });
    this.input = h("input", { id: inputId, class: "stake", type: "text", inputmode: "decimal",
      autocomplete: "off", placeholder: "0.00", enterkeyhint: "done",
      "aria-describedby": `${inputId}-note` });
    this.input.value = item.stake;
    this.input.addEventListener("input", () => this.#change({ stake: this.input.value }));
    this.folding = item.kind === "system" ? this.#buildFolds() : null;
    this.eachWayBox = h("input", { type: "checkbox" });
    this.eachWayBox.checked = item.each_way;
    this.eachWayBox.addEventListener("change", () =>
      this.#change({ each_way: this.eachWayBox.checked }));
    this.eachWayRow = h("label", { class: "check" }, this.eachWayBox,
      h("span", {}, "Each-way", h("span", { class: "hush" }, ` ${this.name}`)));
    this.sums = h("p", { class: "multi-sums" });
    this.say = h("span", { class: "multi-note", id: `${inputId}-note` });
    this.deposit = h("a", { class: "fix", href: "#/account" }, "Deposit");
    this.promised = new Promised(() => this.slip.take(this));
    this.progress = new Progress(() => this.slip.check(this));
    this.form = h("div", { class: "multi-form" },
      h("label", { for: inputId }, h("b", {}, this.name), " ", this.count,
        h("span", { class: "hush" }, ", stake a line")),
      this.input);
    this.node = h("li", { class: "multi", "data-kind": item.kind },
      this.form, this.folding, this.eachWayRow, this.sums,
      h("div", { class: "line-say", role: "status" }, this.say, this.deposit),
      this.promised.node,
      this.progress.node);
  }

  #buildFolds() {
    const { free, bankers, folds } = this.item;
    const all = Array.from({ length: free }, (_, at) => at + 1);
    // Every selection in one line is the fold that has a row of its own.
    const offered = all.slice(0, -1);
    return h("fieldset", { class: "folds" },
      h("legend", {}, bankers ? "In each line, beside the bankers" : "In each line"),
      ...offered.map((fold) => {
        const box = h("input", { type: "checkbox", value: String(fold) });
        box.checked = folds.includes(fold);
        box.addEventListener("change", () => {
          const chosen = new Set(this.item.folds);
          if (box.checked) chosen.add(fold);
          else chosen.delete(fold);
          this.#change({ folds: [...chosen].sort((a, b) => a - b) });
        });
        return h("label", {}, box, h("span", {}, `${fold} of ${free}`,
          h("span", { class: "hush" }, `, ${linesText(linesOf([fold], free))}`)));
      }));
  }

  #change(what) {
    Object.assign(this.item, what, { refusal: null, promise: null });
    this.slip.save();
    this.slip.sync();
  }

  sync() {
    const { item } = this;
    const { attempt } = item;
    const fixed = Boolean(attempt);
    this.input.disabled = this.eachWayBox.disabled = fixed;
    if (this.folding) this.folding.disabled = fixed;
    this.eachWayRow.hidden = !this.slip.allEachWay;
    // A stake that was placed is gone.
    if (this.input.value !== item.stake) this.input.value = item.stake;
    setText(this.count, this.lines ? linesText(this.lines) : "choose below");
    const line = fixed ? {} : this.#lineStake();
    this.quote.want(line.minor === undefined ? null : this.#slipBody(line.minor));
    this.#syncSums(line);
    this.#syncSay(line);
    this.promised.sync(item.promise, wallet.value, oddsFormat.value);
    this.progress.sync(attempt);
  }

  #syncSums(line) {
    const sums = this.amounts();
    this.sums.hidden = !sums || line.minor === undefined;
    if (this.sums.hidden) return;
    const purse = wallet.value;
    const stake = this.lines === 1
      ? money(sums.stake, purse)
      : `${linesText(this.lines)} of ${money(line.minor, purse)}: ${money(sums.stake, purse)}`;
    const pays = sums.payout === null ? "…" : money(sums.payout, purse);
    setText(this.sums, sums.bySp ? `${stake} · pays by the starting price`
      : `${stake} · pays at most ${pays}`);
  }

  #syncSay(line) {
    const { refusal } = this.item;
    const text = refusal?.text ?? line.error ?? this.quote.problem?.message ?? "";
    setText(this.say, text);
    this.say.hidden = !text;
    this.input.setAttribute("aria-invalid", String(Boolean(line.error)));
    this.deposit.hidden = !refusal?.deposit;
  }
}
