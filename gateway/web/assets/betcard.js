// A bet in the list: what it is on, how its legs came out, what it has paid and can pay, and
// cashing it out.

import { CashOut } from "./cashout.js";
import { h, icon } from "./dom.js";
import { money, oddsText, timeText, words } from "./format.js";
import { betName, linesText, termsText } from "./kinds.js";
import { oddsFormat, wallet } from "./store.js";

export class BetCard {
  #view = "";

  /** `cashedOut(answer)`: see `CashOut`. */
  constructor(bet, cashedOut) {
    this.bet = bet;
    this.cashOut = new CashOut(bet, cashedOut);
    this.main = h("div", { class: "bet-main" });
    this.node = h("li", { class: "bet", "data-bet": bet.bet_id },
      this.main, this.cashOut.node,
      h("p", { class: "bet-foot soft" },
        h("time", { datetime: bet.placed_at }, timeText(bet.placed_at)), " · ",
        h("code", {}, bet.bet_id)));
    this.sync(bet);
  }

  sync(bet) {
    this.bet = bet;
    this.node.dataset.state = bet.state;
    this.cashOut.sync(bet);
    const outcomes = bet.legs.map((leg) => [leg.outcome, leg.place]).join();
    const view = [bet.state, bet.payout_minor, bet.potential_payout_minor, bet.cashed_out_minor,
      outcomes, oddsFormat.value].join(" ");
    if (view === this.#view) return;
    this.#view = view;
    this.main.replaceChildren(...mainNodes(bet));
  }
}

function mainNodes(bet) {
  const purse = { currency: bet.currency, minor_digits: wallet.value.minor_digits };
  const single = bet.legs.length === 1;
  const state = h("span", { class: `state state-${bet.state}` }, words(bet.state));
  const [leg] = bet.legs;
  const name = betName(bet);
  const head = single
    ? h("div", {}, legName(leg, name),
      h("p", { class: "soft" }, placeText(leg)))
    : h("div", {}, h("p", { class: "line-name" }, name),
      bet.lines.lines > 1 ? h("p", { class: "soft" }, unitText(bet, purse)) : null);
  return [
    h("div", { class: "bet-head" }, head, state),
    ...(single ? [] : [h("ol", { class: "bet-legs", role: "list" }, ...bet.legs.map(legNode))]),
    sums(bet, purse),
  ];
}

function legName(leg, before = "") {
  return h("p", { class: "line-name" }, before ? `${before}: ` : "", leg.selection_name, " ",
    h("strong", { class: "figure at" }, `at ${oddsText(leg.odds, oddsFormat.value)}`));
}

function placeText(leg) {
  return [leg.market_name, leg.fixture_name, leg.in_play && "in play",
    leg.each_way && termsText(leg.each_way)].filter(Boolean).join(" · ");
}

/** "4 lines of £1.00". */
function unitText(bet, purse) {
  const { lines } = bet.lines;
  return `${linesText(lines)} of ${money(bet.stake_minor / lines, purse)}`;
}

function legNode(leg) {
  const marks = { won: "check", lost: "close" };
  // What did not win may still pay for its place.
  const placed = leg.outcome === "lost" && leg.place === "won";
  const outcome = placed ? "placed" : leg.outcome ?? "";
  const name = legName(leg);
  if (leg.banker) name.append(" ", h("span", { class: "tag" }, "Banker"));
  return h("li", { class: "bet-leg" }, name,
    h("span", { class: "leg-outcome", "data-outcome": outcome },
      marks[outcome] ? icon(marks[outcome]) : null, outcome ? words(outcome) : "Open"),
    h("p", { class: "soft" }, placeText(leg)));
}

function sums(bet, purse) {
  const pair = (name, minor) =>
    h("div", {}, h("dt", {}, name), h("dd", { class: "figure" }, money(minor, purse)));
  const open = bet.state === "open";
  return h("dl", { class: "bet-sums" },
    pair("Stake", bet.stake_minor),
    open && bet.payout_minor ? pair("Paid so far", bet.payout_minor) : null,
    open ? pair(bet.lines ? "Can pay at most" : "Pays if it wins", bet.potential_payout_minor)
      : pair("Paid", bet.payout_minor),
    bet.cashed_out_minor && bet.state !== "cashed_out"
      ? pair("Cashed out", bet.cashed_out_minor) : null);
}
