// One line of the betslip: what the player agreed to, what the price is now, the stake, and how far
// its bet has come.

import { blocked } from "./book.js";
import { h, icon, setText } from "./dom.js";
import { major, money, oddsText, parseAmount, payout, roundMoney } from "./format.js";
import { oddsFormat, policy, wallet } from "./store.js";

const QUICK_MAJOR = [5, 10, 25, 50];

const BLOCKED = {
  suspended: "Suspended: wait a moment or remove it.",
  closed: "Closed: no more bets on this market.",
  unavailable: "Not offered at the moment.",
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

  get blocked() {
    return blocked(this.slip.market(this.item), this.slip.selection(this.item));
  }

  /** Whether the policy takes the present price without asking. */
  get taken() {
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

  /** {stake, payout} in minor units, or null while the stake can't be used. */
  amounts() {
    if (!wallet.value) return null;
    const { minor, error } = parseAmount(this.item.stake, wallet.value.minor_digits);
    if (error || this.#beyond(minor)) return null;
    return { stake: minor, payout: payout(minor, this.effective) };
  }

  /** The limit that a stake breaks: {text, minor} or null. */
  #beyond(stake) {
    const limits = this.slip.market(this.item)?.limits;
    if (!limits) return null;
    if (stake < limits.min_stake_minor) {
      const least = money(limits.min_stake_minor, wallet.value);
      return { text: `The smallest stake here is ${least}.`, minor: limits.min_stake_minor };
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
      // What is agreed to is the price on the button, even if it moved again under the finger.
      item.agreed = Number(this.acceptButton.dataset.odds);
      item.refusal = null;
      this.slip.save();
      this.slip.sync();
      if (!this.mustAccept) document.getElementById("place").focus();
    });
    this.form = h("div", { class: "line-form" },
      h("div", { class: "stake-row" },
        h("label", { for: inputId }, "Stake"), this.input, this.quick),
      this.returns);
    this.progress = h("div", { class: "progress", role: "status" });
    this.receipt = h("div", { class: "receipt", role: "status" });
    this.node = h("li", { class: "line" },
      h("div", { class: "line-head" },
        h("p", { class: "line-name" }, item.selection_name),
        h("p", { class: "line-price" }, this.was, this.move, this.price),
        this.removeButton,
        h("p", { class: "soft" }, `${item.market_name} · ${item.fixture_name}`)),
      this.form,
      h("div", { class: "line-say", role: "status" },
        this.note, this.fix, this.deposit, this.acceptButton),
      this.progress, this.receipt);
  }

  #stake(text, show = false) {
    this.item.stake = text;
    this.item.refusal = null;
    if (show) {
      this.input.value = text;
      this.input.focus();
    }
    this.slip.save();
    this.slip.sync();
  }

  sync() {
    const { item } = this;
    const { attempt, receipt } = item;
    const idle = !attempt && !receipt;
    this.node.classList.toggle("is-blocked", idle && Boolean(this.blocked));
    this.node.classList.toggle("is-placed", Boolean(receipt));
    this.removeButton.hidden = Boolean(attempt);
    this.form.hidden = !idle;
    this.#syncPrice(idle);
    this.#syncStake();
    this.#syncSay(idle);
    this.#syncProgress();
    if (receipt) this.#showReceipt(receipt);
    this.receipt.hidden = !receipt;
  }

  #syncPrice(idle) {
    const { item } = this;
    const fixed = item.receipt?.legs[0].odds ?? item.attempt?.body.odds;
    const now = fixed ?? this.current;
    const moved = idle && now !== item.agreed;
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
    this.quick.hidden = !purse;
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
    setText(this.returns, sums ? `Pays ${money(sums.payout, purse)} if it wins` : "");
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
    if (this.blocked && this.slip.market(item)) return { text: BLOCKED[this.blocked], tone: "bad" };
    if (item.refusal) {
      const limit = item.refusal.max_stake_minor ?? item.refusal.min_stake_minor;
      return { text: item.refusal.text, tone: "bad", stake: limit };
    }
    if (item.stake.trim() && wallet.value) {
      const { minor, error } = parseAmount(item.stake, wallet.value.minor_digits);
      if (error) return { text: error, tone: "bad", stakeWrong: true };
      const beyond = this.#beyond(minor);
      if (beyond) return { text: beyond.text, tone: "bad", stake: beyond.minor, stakeWrong: true };
    }
    const moved = this.current - item.agreed;
    if (!moved) return {};
    const way = moved > 0 ? "risen" : "fallen";
    return this.taken
      ? { text: `The price has ${way}; your setting accepts it.`, tone: moved > 0 ? "good" : "" }
      : { text: `The price has ${way} since you chose it.`, tone: moved > 0 ? "good" : "bad" };
  }

  #syncProgress() {
    const { attempt } = this.item;
    this.progress.hidden = !attempt;
    clearTimeout(this.tick);
    if (!attempt) return;
    const left = attempt.began_ms + attempt.delay_ms - Date.now();
    if (attempt.phase === "placing" && left > 0) {
      this.tick = setTimeout(() => this.#syncProgress(), left % 1000 || 1000);
    }
    const view = `${attempt.phase} ${attempt.phase === "placing" ? Math.ceil(left / 1000) : ""}`;
    if (this.progress.dataset.view === view) return;
    this.progress.dataset.view = view;
    this.progress.replaceChildren(...this.#progressNodes(attempt, left));
  }

  #progressNodes(attempt, left) {
    const again = (text, act) => h("button", { type: "button", class: "fix", onclick: act }, text);
    const said = (text) => h("p", {}, text);
    const bar = h("progress", { "aria-hidden": "true" });
    switch (attempt.phase) {
      case "placing":
        if (left <= 0) return [said("Placing your bet…"), bar];
        bar.max = attempt.delay_ms;
        bar.value = attempt.delay_ms - left;
        return [said(`In play: checking the price… ${Math.ceil(left / 1000)} s`), bar];
      case "checking":
        return [said("We are checking whether your bet was placed…"), bar];
      case "login":
        return [said("Log in to find out whether your bet was placed.")];
      default:
        return [
          said("We still don't know whether your bet was placed. It can't be placed twice."),
          again("Check again", () => this.slip.check(this)),
        ];
    }
  }

  #showReceipt(bet) {
    const view = `${bet.bet_id} ${oddsFormat.value} ${wallet.value?.currency ?? ""}`;
    if (this.receipt.dataset.view === view || !wallet.value) return;
    this.receipt.dataset.view = view;
    const row = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
    this.receipt.replaceChildren(
      h("p", { class: "receipt-title" }, icon("check"), "Bet placed"),
      h("dl", {},
        row("Stake", money(bet.stake_minor, wallet.value)),
        row("Price", oddsText(bet.legs[0].odds, oddsFormat.value)),
        row("Pays if it wins", money(bet.potential_payout_minor, wallet.value)),
        row("Bet id", h("code", {}, bet.bet_id))),
      h("a", { href: "#/bets" }, "See my bets"));
  }
}
