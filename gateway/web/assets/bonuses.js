// The bonuses that a player can use: choosing one for the bet on the slip, and what it then pays.

import { get } from "./api.js";
import { h } from "./dom.js";
import { money, timeText } from "./format.js";
import { Quote } from "./quote.js";
import { session, wallet } from "./store.js";

export class Bonuses {
  #items = [];
  #asked = 0;
  #changed;

  /** `changed()` is called when there is something new to show. */
  constructor(changed) {
    this.#changed = changed;
    this.quote = new Quote(changed);
    this.select = h("select", { id: "bonus" });
    this.select.addEventListener("change", changed);
    this.node = h("div", { class: "bonus", hidden: true },
      h("label", { for: "bonus" }, "Bonus"), this.select);
    session.follow(() => {
      this.#items = [];
      this.#build();
      this.load();
    });
  }

  /** The bonus that was chosen, or undefined. */
  get chosen() {
    return this.#items.find((it) => it.bonus_id === this.select.value);
  }

  /** Read what there is: at the log-in, and after one was used. */
  async load() {
    const asked = ++this.#asked;
    if (!session.value) return;
    try {
      const { items } = await get("/v1/bonuses");
      if (asked !== this.#asked) return;
      this.#items = items;
    } catch {
      // Without them bets are placed all the same.
      return;
    }
    this.#build();
    this.#changed();
  }

  /** Show what can be chosen: once the wallet says how its currency is written. */
  sync() {
    this.node.hidden = !this.#items.length || !wallet.value;
    if (!this.node.hidden && this.select.options.length <= 1) this.#build();
  }

  #build() {
    const was = this.select.value;
    const option = (value, text) => h("option", { value }, text);
    const items = wallet.value ? this.#items : [];
    this.select.replaceChildren(option("", "None"),
      ...items.map((it) => option(it.bonus_id, bonusText(it))));
    this.select.value = items.some((it) => it.bonus_id === was) ? was : "";
  }
}

/** "Free stake up to £5.00, until 24 Nov 2026, 12:00". */
function bonusText(bonus) {
  const most = money(bonus.amount_minor, wallet.value);
  const what = bonus.kind === "free_stake" ? `Free stake up to ${most}`
    : `${bonus.boost / 100}% more winnings, up to ${most} more`;
  return `${what}, until ${timeText(bonus.expires_at)}`;
}
