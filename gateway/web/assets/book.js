// The book: every fixture the page follows, as the server told it, and what has changed since the
// last frame. A fixture's `seq` rises by one with each change, so a missed change shows as a gap.

export class Book {
  #fixtures = new Map();
  #followers = new Set();
  /** fixture id -> ids of its markets that changed; "" stands for the fixture itself. */
  #dirty = new Map();
  #frame = 0;

  fixture(fixtureId) {
    return this.#fixtures.get(fixtureId);
  }

  market(marketId) {
    const fixtureId = marketId.slice(0, marketId.lastIndexOf(":"));
    return this.#fixtures.get(fixtureId)?.markets.get(marketId);
  }

  selection(marketId, selectionId) {
    return this.market(marketId)?.selections.get(selectionId);
  }

  /** Called once a frame with all that changed: a hundred ticks of one price are one update. */
  follow(follower) {
    this.#followers.add(follower);
  }

  /** A whole fixture. An older one than is known (lists come from behind the stream) is left. */
  load(fixture) {
    const known = this.#fixtures.get(fixture.fixture_id);
    if (known && fixture.seq < known.seq) return;
    this.#fixtures.set(fixture.fixture_id, {
      ...fixture,
      markets: new Map(fixture.markets.map((market) => [market.market_id, asMarket(market)])),
    });
    this.#touch(fixture.fixture_id, "");
  }

  /** Forget every fixture but these. */
  keepOnly(fixtureIds) {
    const kept = new Set(fixtureIds);
    for (const fixtureId of this.#fixtures.keys()) {
      if (!kept.has(fixtureId)) this.#fixtures.delete(fixtureId);
    }
  }

  /** Take one delta of the stream: "taken", "known" already, or there is a "gap" before it. */
  apply(delta) {
    const fixture = this.#fixtures.get(delta.fixture_id);
    if (!fixture || delta.seq <= fixture.seq) return "known";
    if ((delta.from_seq ?? delta.seq) > fixture.seq + 1) return "gap";
    const market = fixture.markets.get(delta.market_id);
    if (delta.market_id && !market) return "gap";
    fixture.seq = delta.seq;
    this.#change(fixture, market, delta);
    this.#touch(fixture.fixture_id, delta.market_id ?? "");
    return "taken";
  }

  #change(fixture, market, delta) {
    switch (delta.type) {
      case "prices":
        market.odds_version = delta.odds_version;
        for (const [selectionId, odds] of Object.entries(delta.odds)) {
          market.selections.get(selectionId).odds = odds;
        }
        break;
      case "market":
        fixture.markets.set(delta.market.market_id, asMarket(delta.market));
        break;
      case "status":
        market.status = delta.status;
        market.in_play = delta.in_play;
        market.bet_delay_ms = delta.bet_delay_ms;
        break;
      case "withdrawn":
        Object.assign(market.selections.get(delta.selection_id), { withdrawn: true, odds: 0 });
        break;
      case "result":
        market.status = delta.status;
        for (const [selectionId, result] of Object.entries(delta.results)) {
          market.selections.get(selectionId).result = result;
        }
        for (const selectionId of delta.undecided ?? []) {
          delete market.selections.get(selectionId).result;
        }
        break;
      case "selection":
        market.selections.set(delta.selection.selection_id, { ...delta.selection });
        break;
      case "settled":
        market.status = delta.status;
        break;
      case "phase":
        fixture.phase = delta.phase;
        fixture.score = delta.score;
        break;
    }
  }

  /** A price the server mentioned in a refusal; the stream may be behind it, or away. */
  hear(marketId, selectionId, odds, oddsVersion) {
    const market = this.market(marketId);
    if (!market || oddsVersion <= market.odds_version) return;
    market.selections.get(selectionId).odds = odds;
    this.#touch(marketId.slice(0, marketId.lastIndexOf(":")), marketId);
  }

  #touch(fixtureId, marketId) {
    if (!this.#dirty.has(fixtureId)) this.#dirty.set(fixtureId, new Set());
    this.#dirty.get(fixtureId).add(marketId);
    this.#frame ||= requestAnimationFrame(() => {
      const changes = this.#dirty;
      this.#dirty = new Map();
      this.#frame = 0;
      for (const follower of this.#followers) follower(changes);
    });
  }
}

function asMarket(market) {
  return {
    ...market,
    selections: new Map(market.selections.map((it) => [it.selection_id, { ...it }])),
  };
}

/** Whether bets can be had at the price that is known at the off. */
export function offersSp(market) {
  return Boolean(market?.terms?.starting_price && !market.in_play);
}

/**
 * Why nothing can be bet on a selection now: "suspended", "closed", "unavailable" or "". `priced`
 * says whether it has a price, where that is not the one on the board.
 */
export function blocked(market, selection, priced = Boolean(selection?.odds)) {
  if (!market || !selection) return "unavailable";
  if (market.status === "suspended") return "suspended";
  if (market.status !== "open" || (selection.result && !selection.withdrawn)) return "closed";
  if (selection.withdrawn || !priced) return "unavailable";
  return "";
}

/** The same of what can be chosen on the board: without a price maybe at the starting price. */
export function blockedOnBoard(market, selection) {
  return blocked(market, selection, Boolean(selection?.odds) || offersSp(market));
}
