// Cashing out one bet: what is offered for it now, and taking that for all of it or for a part.
//
// An offer is good for some seconds and can be taken once, so a repeated press never sells twice.

import { attempt, explain, Intent, Lost, post, Problem } from "./api.js";
import { h, setText } from "./dom.js";
import { major, money, parseAmount } from "./format.js";
import { session, wallet } from "./store.js";

/** While a bet is in view its offer is asked for so often, and that many times in a row. */
const LOOK_MS = 4_000;
const LOOKS = 6;
/** While an offer may be taken it is renewed before it runs out, for two minutes. */
const RENEW_MS = 3_000;
const RENEWALS = 40;
const TYPED_MS = 250;
/** An offer is believed for so long, whatever the clock here says. The server has the last word. */
const BELIEVED_MS = [4_500, 10_000];
/** A press that comes so soon after the offer fell was meant for the one before. */
const UNSEEN_MS = 500;
/** Above the longest bet delay there is, which an answer in play takes. */
const ANSWER_MS = 30_000;
const SLIDES = 20;

export class CashOut {
  #bet;
  #done;
  #intent = new Intent();
  #timer = 0;
  #clock = 0;
  #asked = 0;
  #left = 0;
  #inView = false;
  /** The last offer for what is wanted, or null. */
  #offer = null;
  #goodUntil = 0;
  #fellAt = -UNSEEN_MS;
  #refusal = "";
  /** What of the stake is still open: known from the offer for all of it. */
  #open = 0;
  /** What of it is to be cashed out, or null for all. */
  #part = null;
  #typedWrong = "";
  /** The offer that is being taken, until it is known what came of that. */
  #taking = null;
  #unsure = false;
  /** What came of taking the last one. */
  told = "";

  /** `done(answer)` is told of what was cashed out, or null where the bet has changed otherwise. */
  constructor(bet, done) {
    this.#bet = bet;
    this.#done = done;
    this.#build();
  }

  #build() {
    const id = `cash-out-${this.#bet.bet_id}`;
    this.openButton = h("button", { type: "button", class: "cash-out-open",
      "aria-expanded": "false", "aria-controls": id, onclick: () => this.#toggle(true) },
    "Cash out");
    this.why = h("p", { class: "cash-out-why" });
    this.slider = h("input", { type: "range", min: "1", max: String(SLIDES), step: "1",
      "aria-label": "Part of the stake to cash out" });
    this.slider.value = String(SLIDES);
    this.slider.addEventListener("input", () => this.#slid());
    this.amount = h("input", { id: `${id}-part`, class: "stake", type: "text",
      inputmode: "decimal", autocomplete: "off", "aria-describedby": `${id}-says` });
    this.amount.addEventListener("input", () => this.#typed());
    this.amount.addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.#press();
    });
    this.label = h("label", { for: `${id}-part` }, "How much of your stake");
    this.says = h("p", { class: "cash-out-why", id: `${id}-says`, role: "status" });
    this.time = h("progress", { "aria-hidden": "true", hidden: true });
    // Not disabled while it has nothing to take: it would lose the focus each time.
    this.takeButton = h("button", { type: "button", class: "primary",
      onclick: () => this.#press() }, "Cash out");
    this.cancel = h("button", { type: "button", class: "fix",
      onclick: () => this.#toggle(false) }, "Keep the bet");
    this.panel = h("div", { class: "cash-out-panel", id, role: "group", tabindex: "-1",
      hidden: true, "aria-label": "Cash out" },
    h("div", { class: "part" }, this.label, this.slider, this.amount),
    this.time, this.says,
    h("div", { class: "cash-out-acts" }, this.takeButton, this.cancel));
    this.panel.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !this.#taking) this.#toggle(false);
    });
    this.node = h("div", { class: "cash-out" }, this.openButton, this.why, this.panel);
  }

  /** Whether nobody asks for offers any more. */
  get #isOver() {
    return !this.#offer && this.#left <= 0;
  }

  /** Whether the button has something to do. */
  get #isReady() {
    if (this.#taking) return this.#unsure;
    return !this.#typedWrong && Boolean(this.#offer || this.#isOver);
  }

  get #isOpen() {
    return !this.panel.hidden;
  }

  /** The bet as it is now; a part of it may be gone. */
  sync(bet) {
    const changed = bet.cashed_out_minor !== this.#bet.cashed_out_minor
      || bet.payout_minor !== this.#bet.payout_minor;
    const hidden = bet.state !== "open";
    const back = this.node.hidden && !hidden;
    this.#bet = bet;
    this.node.hidden = hidden;
    if (hidden) this.#stop();
    else if (changed || back) this.#again();
  }

  /** Whether the bet is on the screen. */
  look(inView) {
    if (inView === this.#inView) return;
    this.#inView = inView;
    this.#left = LOOKS;
    this.wake();
  }

  /** Ask again, now that there may be somebody to see it. */
  wake() {
    clearTimeout(this.#timer);
    if (this.#wanted) this.#ask();
  }

  get #wanted() {
    const seen = this.#inView && document.visibilityState === "visible";
    return seen && session.value && this.#bet.state === "open" && !this.#taking;
  }

  #stop() {
    clearTimeout(this.#timer);
    clearInterval(this.#clock);
    this.#asked += 1;
  }

  /** Begin anew: what was offered is of a bet or a part that is no more. */
  #again() {
    this.#offer = null;
    this.#part = null;
    this.#open = 0;
    this.#left = this.#isOpen ? RENEWALS : LOOKS;
    this.wake();
    this.#show();
  }

  #toggle(open) {
    this.panel.hidden = !open;
    this.openButton.hidden = open;
    this.openButton.setAttribute("aria-expanded", String(open));
    this.#typedWrong = this.told = "";
    if (this.#part !== null) this.#offer = null;
    this.#part = null;
    this.#left = open ? RENEWALS : LOOKS;
    this.#show();
    this.wake();
    (open ? this.panel : this.openButton).focus();
  }

  // The offer

  /** Ask what would be paid for what is wanted, and again a little later. */
  async #ask() {
    const asked = ++this.#asked;
    const path = `/v1/bets/${this.#bet.bet_id}/cash-out`;
    const part = this.#part === null || this.#part === this.#open ? "" : this.#part;
    try {
      const offer = await attempt("GET", part ? `${path}?stake_minor=${part}` : path);
      if (asked !== this.#asked) return;
      this.#took(offer, !part);
    } catch (error) {
      if (!(error instanceof Problem || error instanceof Lost)) throw error;
      if (asked !== this.#asked) return;
      this.#offer = null;
      this.#refusal = this.#refusalText(error);
      // Settled, perhaps, or cashed out elsewhere: its news may have been missed.
      if (error.code === "nothing_open") this.#done(null);
    }
    this.#show();
    this.#left -= 1;
    clearTimeout(this.#timer);
    if (this.#left > 0) {
      this.#timer = setTimeout(() => this.wake(), this.#isOpen ? RENEW_MS : LOOK_MS);
    }
  }

  #took(offer, whole) {
    const now = performance.now();
    const [least, most] = BELIEVED_MS;
    const left = Date.parse(offer.expires_at) - Date.now();
    if (this.#offer && offer.amount_minor < this.#offer.amount_minor) this.#fellAt = now;
    this.#offer = offer;
    this.#refusal = "";
    const goodFor = Math.min(Math.max(left, least), most);
    this.#goodUntil = now + goodFor;
    this.time.max = goodFor;
    if (whole) this.#open = offer.stake_minor;
    clearInterval(this.#clock);
    this.#clock = setInterval(() => this.#tick(), TYPED_MS);
  }

  /** The offer runs out before the eyes; one that has is not offered any more. */
  #tick() {
    const left = this.#goodUntil - performance.now();
    this.time.value = Math.max(0, left);
    if (left > 0 || this.#taking) return;
    clearInterval(this.#clock);
    this.#offer = null;
    this.#show();
  }

  #refusalText(error) {
    const { leg } = error.document ?? {};
    const name = this.#bet.legs[leg]?.selection_name ?? "A selection";
    switch (error.code) {
      case "cash_out_suspended":
        return `No offer at the moment: ${name} has no price, or its market is suspended.`;
      case "cash_out_too_small":
        return "No offer at the moment: at the prices of now nothing would be paid.";
      case "nothing_open":
        return "This bet is not open any more.";
      case "price_changed":
        return "The price moved: it is now worth "
          + `${money(error.document.amount_minor, this.#purse)}. Nothing was cashed out.`;
      case "offer_expired":
        return "The offer had run out. Nothing was cashed out; here is a new one.";
      case "offer_outdated":
        return "The bet has changed since the offer. Nothing was cashed out; here is a new one.";
      default:
        return explain(error);
    }
  }

  get #purse() {
    return { currency: this.#bet.currency, minor_digits: wallet.value?.minor_digits ?? 2 };
  }

  // How much of it

  #slid() {
    const share = Number(this.slider.value);
    this.#typedWrong = "";
    const part = Math.max(1, Math.floor((this.#open * share) / SLIDES));
    this.#wantPart(share === SLIDES ? null : part);
    this.#writePart();
  }

  #typed() {
    const { minor, error } = parseAmount(this.amount.value, this.#purse.minor_digits);
    const most = money(this.#open, this.#purse);
    this.#typedWrong = error ?? (minor > this.#open ? `At most ${most} of it is open.` : "");
    if (this.#typedWrong) {
      this.#offer = null;
      this.#show();
      return;
    }
    this.slider.value = String(Math.max(1, Math.round((minor * SLIDES) / this.#open)));
    this.#wantPart(minor === this.#open ? null : minor);
  }

  #wantPart(part) {
    this.told = "";
    this.#part = part;
    this.#offer = null;
    this.#left = RENEWALS;
    this.#asked += 1;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.wake(), TYPED_MS);
    this.#show();
  }

  #writePart() {
    this.amount.value = major(this.#part ?? this.#open, this.#purse.minor_digits);
  }

  // Taking it

  #press() {
    if (!this.#isReady) return;
    if (performance.now() - this.#fellAt < UNSEEN_MS) {
      this.told = "The offer has just fallen. Press again to take it.";
      this.#show();
    } else {
      this.#take();
    }
  }

  async #take() {
    if (this.#unsure) this.#unsure = false;
    else if (this.#offer) this.#taking = this.#offer;
    else {
      this.#again();
      return;
    }
    clearTimeout(this.#timer);
    this.#asked += 1;
    this.told = "";
    const taken = this.#taking;
    const body = { offer: taken.offer };
    const key = this.#intent.keyFor({ bet_id: taken.bet_id, ...body });
    this.#show();
    try {
      const path = `/v1/bets/${taken.bet_id}/cash-out`;
      const answer = await post(path, body, key, { timeoutMs: ANSWER_MS });
      this.#intent.answered();
      this.#taking = null;
      this.#offer = null;
      this.#open = 0;
      this.#toggle(false);
      this.#done(answer);
    } catch (error) {
      if (!(error instanceof Problem || error instanceof Lost)) throw error;
      if (error instanceof Lost || error.passing) {
        this.#unsure = true;
      } else {
        this.#intent.answered();
        this.#taking = null;
        this.told = this.#refusalText(error);
        this.#offer = null;
        this.#left = RENEWALS;
        this.wake();
      }
      this.#show();
    }
  }

  // What it shows

  #show() {
    const offer = this.#offer;
    const sum = offer && money(offer.amount_minor, this.#purse);
    setText(this.openButton, sum && !this.#part ? `Cash out ${sum}` : "Cash out");
    setText(this.why, this.#isOpen ? "" : this.#refusal);
    if (!this.#isOpen) return;
    this.#showPart();
    this.time.hidden = !offer || Boolean(this.#taking);
    setText(this.takeButton, this.#takeText(sum));
    this.takeButton.setAttribute("aria-disabled", String(!this.#isReady));
    this.cancel.disabled = Boolean(this.#taking);
    this.#showSays(sum);
  }

  #takeText(sum) {
    if (this.#unsure) return "Ask again";
    if (this.#taking) return "Cashing out…";
    if (sum) return `Take ${sum}`;
    return this.#isOver ? "New offer" : "Waiting for an offer…";
  }

  #showPart() {
    const fixed = Boolean(this.#taking) || !this.#open;
    this.slider.disabled = this.amount.disabled = fixed;
    this.amount.setAttribute("aria-invalid", String(Boolean(this.#typedWrong)));
    if (!this.#open) return;
    const whole = money(this.#open, this.#purse);
    const part = money(this.#part ?? this.#open, this.#purse);
    setText(this.label, `How much of your stake of ${whole}`);
    this.slider.setAttribute("aria-valuetext", `${part} of ${whole}`);
    if (document.activeElement !== this.amount) this.#writePart();
    if (this.#part === null) this.slider.value = String(SLIDES);
  }

  #showSays(sum) {
    let [text, bad] = ["", false];
    if (this.#unsure) {
      text = "We don't know yet whether it was cashed out. Ask again: it can't happen twice.";
      bad = true;
    } else if (this.#taking) {
      text = this.#bet.legs.some((leg) => leg.in_play)
        ? "In play: checking the price…" : "Cashing out…";
    } else if (this.#typedWrong || this.told || this.#refusal) {
      text = this.#typedWrong || this.told || this.#refusal;
      bad = true;
    } else if (sum) {
      const rest = this.#part !== null && money(this.#open - this.#part, this.#purse);
      text = rest ? `You get ${sum} now, and ${rest} of the stake stays on.`
        : `You get ${sum} now, and the bet is over.`;
    }
    setText(this.says, text);
    this.says.classList.toggle("bad", bad);
  }
}
