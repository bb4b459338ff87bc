// The betslip: singles, one for each selection, and the placing of them.

import { explain, newKey, Problem } from "./api.js";
import { arrange, h, icon, setText, toast } from "./dom.js";
import { money, roundMoney } from "./format.js";
import { Line } from "./line.js";
import { place } from "./placing.js";
import { connection, oddsFormat, policy, session, slip, wallet } from "./store.js";

const MAX_LINES = 20;
const POLICIES = { none: "Ask me", better: "Accept better", any: "Accept any" };

/** What a refusal means to the player. The others explain themselves in `detail`. */
function refusalText(problem, purse) {
  const facts = problem.document;
  switch (problem.code) {
    case "price_changed":
      return "The price moved before your bet was placed. Nothing was taken.";
    case "market_suspended":
      return "The market was suspended. Nothing was taken; you can try again when it reopens.";
    case "market_closed":
      return "The market has closed. Nothing was taken.";
    case "selection_unavailable":
      return "This selection is not offered any more. Nothing was taken.";
    case "stake_too_small":
      return `The smallest stake here is ${money(facts.min_stake_minor, purse)}.`;
    case "stake_above_limit":
      return `The largest stake here is ${money(facts.max_stake_minor, purse)}.`;
    case "liability_limit":
      return facts.max_stake_minor > 0
        ? `At this price we can take ${money(facts.max_stake_minor, purse)} more.`
        : "We can't take more on this selection at the moment.";
    case "hold_expired":
      return "It took too long to place the bet. Nothing was taken; please try again.";
    case "insufficient_funds":
      return `Your balance is ${money(facts.cash_minor, purse)}.`;
    default:
      return explain(problem);
  }
}

export class Betslip {
  #root;
  #book;
  #stream;
  #lines = new Map();
  #openLogin;
  #placed;

  /** `openLogin()` asks the player to log in; `placed(bet)` is told of every new bet. */
  constructor(root, book, stream, { openLogin, placed }) {
    this.#root = root;
    this.#book = book;
    this.#stream = stream;
    this.#openLogin = openLogin;
    this.#placed = placed;
    this.#build();
    for (const item of slip.value) this.#add(item);
    book.follow((changes) => {
      if ([...this.#lines.values()].some((line) => changes.has(line.item.fixture_id))) this.sync();
    });
    for (const signal of [wallet, policy, oddsFormat, session, connection]) {
      signal.follow(() => this.sync());
    }
    session.follow((now) => (now ? this.#resume(now.player_id) : this.#forgetReceipts()));
  }

  /** Ids of the fixtures whose prices the slip needs. */
  fixtureIds() {
    return [...this.#lines.values()].map((line) => line.item.fixture_id);
  }

  /** Whether the selection is on the slip and still to be placed. */
  has(marketId, selectionId) {
    const line = this.#lines.get(`${marketId} ${selectionId}`);
    return Boolean(line && !line.item.receipt);
  }

  /** Put a selection on the slip, or take it off again. */
  toggle(fixture, market, selection) {
    const id = `${market.market_id} ${selection.selection_id}`;
    const line = this.#lines.get(id);
    if (line && !line.item.receipt) {
      this.#remove(line);
      return;
    }
    if (line) this.#remove(line);
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
      stake: "",
      attempt: null,
      refusal: null,
      receipt: null,
    });
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

  #changed() {
    this.save();
    this.sync();
    this.#root.dispatchEvent(new CustomEvent("slip-changed"));
  }

  save() {
    slip.set([...this.#lines.values()].map((line) => line.item));
  }

  #build() {
    this.empty = h("div", { class: "slip-empty" }, icon("slip"),
      h("p", {}, "Your betslip is empty."),
      h("p", { class: "soft" }, "Choose a price to add a selection."));
    this.list = h("ol", { class: "slip-lines", role: "list" });
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
    this.button = h("button", { type: "button", class: "primary place", id: "place",
      onclick: () => (session.value ? this.#placeAll() : this.#openLogin()) });
    this.clear = h("button", { type: "button", class: "link", onclick: () => this.#clear() },
      "Clear");
    this.foot = h("div", { class: "slip-foot" }, this.policies, this.totals, this.why, this.button);
    const close = h("button", { type: "button", class: "bare slip-close",
      "aria-label": "Close betslip",
      onclick: () => this.#root.dispatchEvent(new CustomEvent("slip-close")) }, icon("close"));
    this.#root.append(
      h("div", { class: "slip-head" }, h("h2", { id: "slip-title" }, "Betslip"), this.clear, close),
      h("div", { class: "slip-body" }, this.empty, this.list),
      this.foot,
    );
  }

  #clear() {
    for (const line of [...this.#lines.values()]) {
      if (!line.item.attempt) this.#lines.delete(line.id);
    }
    this.#changed();
    this.#root.focus({ preventScroll: true });
  }

  /** Bring every node up to date with the book, the wallet and the lines. */
  sync() {
    const lines = [...this.#lines.values()];
    for (const line of lines) line.sync();
    arrange(this.list, lines.map((line) => line.node));
    const unplaced = lines.filter((line) => !line.item.receipt);
    this.empty.hidden = lines.length > 0;
    this.clear.hidden = !lines.some((line) => !line.item.attempt);
    this.foot.hidden = unplaced.length === 0;

    const staked = unplaced.filter((line) => line.item.stake.trim() && !line.item.attempt);
    const purse = wallet.value;
    const sums = staked.map((line) => line.amounts()).filter(Boolean);
    const total = sums.reduce((sum, it) => sum + it.stake, 0);
    this.totals.hidden = !purse || !sums.length;
    if (purse) {
      setText(this.total, money(total, purse));
      setText(this.returns, money(sums.reduce((sum, it) => sum + it.payout, 0), purse));
    }

    const why = this.#whyNot(staked, total);
    setText(this.why, why);
    this.why.hidden = !why;
    this.button.disabled = Boolean(session.value) && (Boolean(why) || !staked.length);
    setText(this.button, this.#buttonText(staked, why ? 0 : total, unplaced));
    this.#badge(unplaced.length);
  }

  #buttonText(staked, total, unplaced) {
    if (!session.value) return "Log in to bet";
    if (unplaced.length && unplaced.every((line) => line.item.attempt)) return "Placing…";
    if (!staked.length || !wallet.value || !total) return "Place bet";
    const what = staked.length === 1 ? "bet" : `${staked.length} bets`;
    return `Place ${what} · ${roundMoney(total, wallet.value)}`;
  }

  /** Why the button doesn't work yet, or "". */
  #whyNot(staked, total) {
    if (!session.value) return "";
    if (!wallet.value) return "Waiting for your balance…";
    if (staked.some((line) => line.blocked)) return "A selection with a stake can't be bet on now.";
    if (staked.some((line) => line.mustAccept)) return "Accept the new price first.";
    if (staked.some((line) => !line.amounts())) return "Correct the stake first.";
    if (total > wallet.value.cash_minor) {
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

  #placeAll() {
    const staked = [...this.#lines.values()].filter(
      (line) => line.item.stake.trim() && !line.item.attempt && !line.item.receipt,
    );
    for (const line of staked) {
      const market = this.market(line.item);
      line.item.refusal = null;
      line.item.attempt = {
        key: newKey(),
        player_id: session.value.player_id,
        delay_ms: market.in_play ? market.bet_delay_ms : 0,
        began_ms: Date.now(),
        phase: "placing",
        body: {
          market_id: line.item.market_id,
          selection_id: line.item.selection_id,
          stake_minor: line.amounts().stake,
          currency: wallet.value.currency,
          odds: line.effective,
          accept: policy.value,
        },
      };
      this.run(line);
    }
    this.save();
    this.sync();
  }

  /** After a reload or a new log-in: find out what became of the bets that were under way. */
  #resume(playerId) {
    for (const line of [...this.#lines.values()]) {
      const { attempt } = line.item;
      if (!attempt || line.running) continue;
      if (attempt.player_id === playerId) this.check(line);
      else this.#lines.delete(line.id);
    }
    this.#changed();
  }

  #forgetReceipts() {
    for (const line of [...this.#lines.values()]) {
      if (line.item.receipt) this.#lines.delete(line.id);
    }
    this.#changed();
  }

  /** Ask again about a bet whose outcome is not known, with the key it has. */
  check(line) {
    line.item.attempt.phase = "checking";
    this.run(line);
    this.sync();
  }

  async run(line) {
    const { item } = line;
    const { attempt } = item;
    line.running = true;
    try {
      const bet = await place(this.#stream, attempt.body, attempt.key, {
        delayMs: attempt.delay_ms,
        unsure: () => {
          attempt.phase = "checking";
          this.sync();
        },
      });
      item.attempt = null;
      item.receipt = bet;
      this.#placed(bet);
    } catch (error) {
      this.#notPlaced(item, error);
    }
    line.running = false;
    this.#changed();
  }

  #notPlaced(item, error) {
    if (!(error instanceof Problem)) {
      item.attempt.phase = "unknown";
    } else if (error.status === 401) {
      // An attempt before this one may have been carried out: the key stays.
      item.attempt.phase = "login";
    } else {
      item.attempt = null;
      item.refusal = {
        text: refusalText(error, wallet.value),
        max_stake_minor: error.document.max_stake_minor,
        min_stake_minor: error.document.min_stake_minor,
        deposit: error.code === "insufficient_funds",
      };
      if (error.code === "price_changed") {
        const { odds, odds_version: version } = error.document;
        this.#book.hear(item.market_id, item.selection_id, odds, version);
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
