// What the house promises in place of a bet it did not take: an offer of another stake or of the
// prices of now, for some seconds, or the word of a trader, who is asked first. A single has the
// same as a bet of several lines.

import { h, setText } from "./dom.js";
import { money, oddsText } from "./format.js";

/** However clocks differ, an offer is believed for so long. The server has the last word. */
const LONGEST_MS = 60_000;
const UNKNOWN_MS = 10_000;
const OVER = {
  refused: "A trader has refused this bet. Nothing was taken.",
  expired: "No trader answered in time. Nothing was taken.",
  accepted: "What the trader accepted was not taken in time. Nothing was taken.",
  offer: "The offer has run out. Nothing was taken.",
};

function believed(untilMs, longestMs) {
  const left = untilMs - Date.now();
  return Date.now() + (left > 0 && left <= longestMs ? left : UNKNOWN_MS);
}

/** The body of a bet at these prices: one of a single, or one for each leg of a slip. */
function atPrices(body, prices) {
  if (!body.legs) return { ...body, odds: prices[0] };
  const legs = body.legs.map((leg, at) => (leg.sp ? leg : { ...leg, odds: prices[at] }));
  return { ...body, legs };
}

/** What a refusal of `attempt` offers, or null. Kept with the bet, through a reload too. */
export function offerIn(attempt, facts) {
  if (!facts.offer_id) return null;
  const prices = facts.offer_leg_odds ?? [facts.offer_odds];
  const stake_minor = facts.offer_stake_minor;
  return {
    state: "offer",
    until_ms: believed(facts.offer_valid_until_ms, LONGEST_MS),
    stake_minor,
    prices,
    attempt: {
      ...attempt,
      body: { ...atPrices(attempt.body, prices), stake_minor, offer_id: facts.offer_id },
    },
  };
}

/** A bet that a trader was asked about. */
export function waitingIn(attempt, facts) {
  return {
    state: "waiting",
    referral_id: facts.referral_id,
    until_ms: believed(Date.parse(facts.referral_expires_at), 5 * LONGEST_MS),
    attempt,
  };
}

/** What became of `promise`, by the referral as the server says it is: {promise} or {text}. */
export function answered(promise, referral) {
  if (referral.state === "waiting") return { promise };
  if (referral.state !== "accepted") return { text: OVER[referral.state] ?? "" };
  const stake_minor = referral.accepted_stake_minor;
  const prices = referral.slip
    ? referral.slip.legs.map((leg) => leg.odds)
    : [referral.accepted_odds];
  const { referral_id } = referral;
  const body = { ...atPrices(promise.attempt.body, prices), stake_minor, referral_id };
  return {
    promise: {
      ...promise,
      state: "accepted",
      until_ms: believed(Date.parse(referral.expires_at), LONGEST_MS),
      stake_minor,
      prices,
      attempt: { ...promise.attempt, body },
    },
  };
}

/** What to say once its time is out. */
export function overText(promise) {
  return OVER[promise.state === "waiting" ? "expired" : promise.state];
}

/** The row that shows it, with the button that takes it. */
export class Promised {
  constructor(take) {
    this.text = h("span", {});
    this.left = h("span", { class: "figure soft", "aria-hidden": "true" });
    this.button = h("button", { type: "button", class: "accept", onclick: take });
    this.node = h("div", { class: "promised" },
      h("p", { role: "status" }, this.text), this.left, this.button);
  }

  sync(promise, purse, format) {
    const shown = Boolean(promise && purse);
    this.node.hidden = !shown;
    if (!shown) {
      setText(this.text, "");
      return;
    }
    const waits = promise.state === "waiting";
    this.button.hidden = waits;
    const seconds = Math.max(0, Math.ceil((promise.until_ms - Date.now()) / 1000));
    setText(this.left, `${seconds} s`);
    if (waits) {
      setText(this.text, "A trader is looking at this bet. Nothing is taken meanwhile.");
      return;
    }
    const stake = money(promise.stake_minor, purse);
    const prices = promise.prices.map((odds) => oddsText(odds, format)).join(", ");
    const who = promise.state === "accepted" ? "A trader accepts" : "Offered instead:";
    setText(this.text, `${who} ${stake} at ${prices}.`);
    setText(this.button, `Take ${stake}`);
  }
}
