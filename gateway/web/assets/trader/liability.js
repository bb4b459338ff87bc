// Liability over time: as the ledger has it, and from there on as the stream says it. The ledger is
// a moment behind, and knows nothing of bets on their way.

import { nowMs, shortCash } from "./figures.js";
import { Plot } from "./plot.js";

const MAX_LIVE = 500;

export class LiabilityPlot {
  #plot = new Plot({
    title: "Liability over time", empty: "No bet has been made here yet.", text: shortCash,
  });
  #marketId = "";
  #at = [];
  #kept = { selections: {}, worst: [] };
  /** What was heard since: {at, worst, of: liability by selection}. */
  #live = [];

  get node() {
    return this.#plot.node;
  }

  /** From here on this market; of another one nothing is known yet. */
  begin(marketId) {
    if (marketId === this.#marketId) return;
    this.#marketId = marketId;
    this.#at = [];
    this.#kept = { selections: {}, worst: [] };
    this.#live = [];
  }

  /** As the ledger has it. */
  take(history, market) {
    this.#at = history.at.map((it) => Date.parse(it));
    this.#kept = { selections: history.selections, worst: history.worst_minor };
    const last = this.#at.at(-1) ?? 0;
    this.#live = this.#live.filter((it) => it.at > last);
    this.told(market);
  }

  /** As the market says it is now. */
  told(market) {
    if (market.market_id !== this.#marketId) return;
    if (market.known) {
      const of = Object.fromEntries(
        market.selections.map((it) => [it.selection_id, it.liability_minor]));
      this.#live.push({ at: nowMs(), worst: market.worst_minor, of });
      // A figure that stays is one point: where it began.
      const [before, latest] = this.#live.slice(-2);
      if (latest && same(before, latest)) this.#live.pop();
      if (this.#live.length > MAX_LIVE) this.#live.shift();
    }
    this.#show(market);
  }

  #show(market) {
    const series = market.selections.map(({ selection_id: id, name }) => {
      const known = this.#kept.selections[id]?.liability_minor ?? [];
      const heard = this.#live.map((it) => [it.at, it.of[id] ?? 0]);
      return { name, points: [...known.map((minor, at) => [this.#at[at], minor]), ...heard] };
    });
    const worst = [...this.#kept.worst.map((minor, at) => [this.#at[at], minor]),
      ...this.#live.map((it) => [it.at, it.worst])];
    // A selection that nobody has bet on has no line.
    const told = [...series, { name: "Worst case", points: worst }]
      .filter(({ points }) => points.some(([, minor]) => minor));
    this.#plot.show({ now: nowMs(), series: told });
  }
}

function same(one, other) {
  return one.worst === other.worst &&
    Object.keys(other.of).every((id) => one.of[id] === other.of[id]);
}
