// A bet in the list: what it is on, how its legs came out and what was taken off them, what it has
// paid and can pay, and cashing it out.

import { CashOut } from "./cashout.js";
import { h, icon } from "./dom.js";
import { money, oddsText, timeText, words } from "./format.js";
import { betName, legsOf, linesText, termsText } from "./kinds.js";
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
    const view = [JSON.stringify(bet), oddsFormat.value].join(" ");
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
      h("p", { class: "soft" }, placeText(leg)), ...noteNodes(leg, bet.state))
    : h("div", {}, h("p", { class: "line-name" }, name),
      bet.lines.lines > 1 ? h("p", { class: "soft" }, unitText(bet, purse)) : null);
  return [
    h("div", { class: "bet-head" }, head, state),
    single ? null : h("ol", { class: "bet-legs", role: "list" }, ...legsOf(bet).map(legNode)),
    bet.corrections ? h("p", { class: "leg-note" }, CORRECTED) : null,
    sums(bet, purse),
  ].filter(Boolean);
}

const CORRECTED = "A result was corrected after this bet was settled: it was settled again.";

function legName(leg, before = "") {
  return h("p", { class: "line-name" }, before ? `${before}: ` : "", leg.selection_name, " ",
    // One of several under one price has none of its own.
    leg.joint ? null : h("strong", { class: "figure at" }, `at ${priceText(leg)}`));
}

function priceText(leg) {
  const text = oddsText(leg.odds, oddsFormat.value);
  return leg.starting_odds ? `${text}, ${oddsText(leg.starting_odds, oddsFormat.value)}` : text;
}

/** What a player may wonder about: why a leg that won did not pay its price, and the like. */
function noteNodes(leg, outcome) {
  return notesOf(leg, outcome).map((text) => h("p", { class: "leg-note" }, text));
}

function notesOf(leg, outcome) {
  const percent = (share) => `${share / 100}%`;
  const count = (places) => `${places} ${places === 1 ? "place" : "places"}`;
  const tie = ({ tied, places }) =>
    `${tied} shared ${count(places)}, so ${places}/${tied} of the stake is paid at the full price.`;
  const reduced = (leg.reductions ?? []).map((share) =>
    `A runner was withdrawn: the price is ${percent(share)} lower.`);
  return [
    leg.withdrawn && (leg.ante_post ? "It did not run: ante-post, that loses."
      : "It did not run: counted as 1.00."),
    outcome === "void" && !leg.withdrawn && "Void: counted as 1.00.",
    outcome === "half_won" && "Half of the stake won, and half is returned.",
    outcome === "half_lost" && "Half of the stake lost, and half is returned.",
    leg.deduction
      && `Rule 4: ${leg.deduction / 100}p in the pound is taken off what this price wins.`,
    ...reduced,
    leg.dead_heat && `Dead heat: ${tie(leg.dead_heat)}`,
    leg.place_dead_heat && `Dead heat for the place: ${tie(leg.place_dead_heat)}`,
  ].filter(Boolean);
}

function placeText(leg) {
  const terms = leg.each_way && termsText(leg.each_way);
  return [leg.market_name, leg.fixture_name, leg.in_play && "in play",
    leg.ante_post && "ante-post", terms].filter(Boolean).join(" · ");
}

/** "4 lines of £1.00". */
function unitText(bet, purse) {
  const { lines } = bet.lines;
  return `${linesText(lines)} of ${money(bet.stake_minor / lines, purse)}`;
}

/** A leg by its selections: several are under one price, and each of them has its own outcome. */
function legNode(selections) {
  if (selections.length === 1) return selectionNode(selections[0]);
  const price = oddsText(selections[0].joint, oddsFormat.value);
  return h("li", { class: "bet-joint" },
    h("p", { class: "line-name" }, "Together ",
      h("strong", { class: "figure at" }, `at ${price}`)),
    h("ul", { class: "bet-legs", role: "list" },
      ...selections.map((leg) => selectionNode(leg))));
}

function selectionNode(leg) {
  const marks = { won: "check", lost: "close" };
  // What did not win may still pay for its place.
  const placed = leg.outcome === "lost" && leg.place === "won";
  const outcome = placed ? "placed" : leg.outcome ?? "";
  const name = legName(leg);
  if (leg.banker) name.append(" ", h("span", { class: "tag" }, "Banker"));
  return h("li", { class: "bet-leg" }, name,
    h("span", { class: "leg-outcome", "data-outcome": outcome },
      marks[outcome] ? icon(marks[outcome]) : null, outcome ? words(outcome) : "Open"),
    h("p", { class: "soft" }, placeText(leg)), ...noteNodes(leg, leg.outcome));
}

function sums(bet, purse) {
  const pair = (name, minor) =>
    h("div", {}, h("dt", {}, name), h("dd", { class: "figure" }, money(minor, purse)));
  const open = bet.state === "open";
  return h("dl", { class: "bet-sums" },
    pair(bet.free_stake ? "Free stake" : "Stake", bet.stake_minor),
    bet.boosted_odds ? h("div", {}, h("dt", {}, "Boosted to"),
      h("dd", { class: "figure" }, oddsText(bet.boosted_odds, oddsFormat.value))) : null,
    open && bet.payout_minor ? pair("Paid so far", bet.payout_minor) : null,
    open ? payable(bet, pair) : pair("Paid", bet.payout_minor),
    bet.cashed_out_minor && bet.state !== "cashed_out"
      ? pair("Cashed out", bet.cashed_out_minor) : null);
}

function payable(bet, pair) {
  // Until it is known it may be any price.
  if (bet.legs.some((leg) => leg.sp && !leg.starting_odds && !leg.outcome)) {
    return h("div", {}, h("dt", {}, "Pays"), h("dd", {}, "by the starting price"));
  }
  return pair(bet.lines ? "Can pay at most" : "Pays if it wins", bet.potential_payout_minor);
}
