// What was placed, as the server answered it.

import { h, icon } from "./dom.js";
import { money, oddsText } from "./format.js";
import { betName, legsOf, linesText } from "./kinds.js";

/** A receipt of a Bet, with the player's wallet and notation of odds. */
export function receiptNode(bet, purse, format) {
  const row = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
  const [leg] = bet.legs;
  const single = bet.legs.length === 1;
  const name = betName(bet) || "Single";
  const moved = bet.legs.filter((it) => !single && it.asked !== undefined && !it.joint);
  const joints = legsOf(bet).filter((of) => of.length > 1);
  return h("li", { class: "receipt", "data-bet": bet.bet_id },
    h("p", { class: "receipt-title" }, icon("check"), "Bet placed"),
    h("p", { class: "receipt-what" }, h("b", {}, name), " · ",
      bet.legs.map((it) => it.selection_name).join(", ")),
    h("dl", {},
      row(bet.free_stake ? "Free stake" : "Stake", money(bet.stake_minor, purse)),
      bet.lines?.lines > 1 ? row("Lines", linesText(bet.lines.lines)) : null,
      single ? row("Price", oddsText(leg.odds, format)) : null,
      ...moved.map((it) => row(`Price of ${it.selection_name}`, oddsText(it.odds, format))),
      ...joints.map((of) => row("Price together", oddsText(of[0].joint, format))),
      bet.boosted_odds ? row("Boosted to", oddsText(bet.boosted_odds, format)) : null,
      bet.legs.some((it) => it.sp) ? row("Pays", "by the starting price")
        : row(single ? "Pays if it wins" : "Pays at most",
          money(bet.potential_payout_minor, purse)),
      row("Bet id", h("code", {}, bet.bet_id))));
}
