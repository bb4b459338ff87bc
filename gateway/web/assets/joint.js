// Selections of one match on the betslip, as one leg under the house's price for all of them. The
// price is quoted while the selections are there: when the match changes, and every few seconds.

import { h, icon, setText } from "./dom.js";
import { oddsText } from "./format.js";
import { Quote } from "./quote.js";
import { oddsFormat, policy, wallet } from "./store.js";

const LOOK_MS = 5_000;
/** What is quoted is a price: any stake that a market takes will do. */
const STAKE_MINOR = 1_000;

export class Joint {
  #timer = 0;
  #heard = 0;

  /** `quoted()` is called when there is something new to show. */
  constructor(fixtureId, quoted) {
    this.fixtureId = fixtureId;
    this.lines = [];
    this.agreed = 0;
    this.quote = new Quote(() => {
      this.#heard = 0;
      this.agreed ||= this.current;
      quoted();
    });
    this.#build();
  }

  /** Have these selections; with others it is another leg, whose price nobody has agreed to. */
  take(lines) {
    const ids = (of) => of.map((line) => line.id).join();
    if (ids(lines) !== ids(this.lines)) {
      this.agreed = this.#heard = 0;
      this.quote.want(null);
    }
    this.lines = lines;
    this.#timer ||= setInterval(() => {
      if (document.visibilityState === "visible") this.quote.refresh();
    }, LOOK_MS);
  }

  stop() {
    clearInterval(this.#timer);
    this.#timer = 0;
    this.quote.want(null);
  }

  get lineIds() {
    return this.lines.map((line) => line.id);
  }

  get name() {
    return this.lines.map((line) => line.item.selection_name).join(" + ");
  }

  /** The price of all of them now, or 0. */
  get current() {
    return this.#heard || (this.quote.value?.odds[0] ?? 0);
  }

  /** Two outcomes of one market exclude each other: there is no price for both. */
  get #excludes() {
    return new Set(this.lines.map((line) => line.item.market_id)).size < this.lines.length;
  }

  /** Whether no line of a bet can have all of them. */
  get isImpossible() {
    return this.#excludes || Boolean(this.quote.problem);
  }

  get blocked() {
    return this.isImpossible || !this.current || this.lines.some((line) => line.blockedAt(true));
  }

  get taken() {
    const moved = this.current - this.agreed;
    return policy.value === "any" || (policy.value === "better" && moved >= 0) || moved === 0;
  }

  get mustAccept() {
    return !this.blocked && !this.taken;
  }

  get effective() {
    return this.taken ? this.current : this.agreed;
  }

  get delayMs() {
    return Math.max(...this.lines.map((line) => line.delayMs));
  }

  /** What a slip has of it. */
  get leg() {
    const [first, ...others] = this.lines.map(({ item }) => (
      { market_id: item.market_id, selection_id: item.selection_id }));
    return { ...first, joined: others, ...(this.effective && { odds: this.effective }) };
  }

  accept() {
    this.agreed = Number(this.acceptButton.dataset.odds);
  }

  /** A price that the server mentioned in a refusal, until the next quote. */
  hear(odds) {
    this.#heard = odds;
    this.quote.refresh();
  }

  #build() {
    this.title = h("p", { class: "line-name" });
    this.was = h("s", { class: "was" });
    this.move = h("span", { class: "move" });
    this.price = h("strong", { class: "figure" });
    this.where = h("p", { class: "soft" });
    this.note = h("p", { class: "note" });
    this.acceptButton = h("button", { type: "button", class: "accept" });
    this.node = h("li", { class: "joint" },
      h("div", { class: "line-head" }, this.title,
        h("p", { class: "line-price" }, this.was, this.move, this.price), this.where),
      h("div", { class: "line-say", role: "status" }, this.note, this.acceptButton));
  }

  /** `accepted()` is called when the player agrees to the price on the button. */
  onAccept(accepted) {
    this.acceptButton.addEventListener("click", () => {
      this.accept();
      accepted();
    });
  }

  sync() {
    this.#want();
    const format = oddsFormat.value;
    const moved = this.current && this.agreed && this.current !== this.agreed;
    const up = this.current > this.agreed;
    setText(this.title, this.name);
    setText(this.where, `Same game · ${this.lines[0].item.fixture_name}`);
    setText(this.price, this.current ? oddsText(this.current, format) : "…");
    this.node.hidden = this.isImpossible && !this.current;
    this.was.hidden = this.move.hidden = !moved;
    if (moved) {
      setText(this.was, oddsText(this.agreed, format));
      this.move.className = `move ${up ? "up" : "down"}`;
      this.move.replaceChildren(icon(up ? "up" : "down"),
        h("span", { class: "hush" }, up ? "risen to" : "fallen to"));
    }
    this.acceptButton.hidden = !this.mustAccept;
    setText(this.note, this.mustAccept ? `The price has ${up ? "risen" : "fallen"} since.` : "");
    this.note.hidden = !this.mustAccept;
    if (this.mustAccept) {
      setText(this.acceptButton, `Accept ${oddsText(this.current, format)}`);
      this.acceptButton.dataset.odds = this.current;
    }
  }

  #want() {
    if (!wallet.value || this.#excludes) {
      this.quote.want(null);
      return;
    }
    const [first, ...others] = this.lines.map(({ item }) => (
      { market_id: item.market_id, selection_id: item.selection_id }));
    this.quote.want({
      kind: "single",
      legs: [{ ...first, joined: others }],
      stake_minor: STAKE_MINOR,
      currency: wallet.value.currency,
    });
  }
}
