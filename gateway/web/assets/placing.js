// Getting one bet answered. A bet has one key from the first attempt to the answer, whichever way
// it travels, so that asking again can never place it twice.

import { attempt, Lost, Problem, wait } from "./api.js";

const ANSWER_MS = 15_000;
const GIVE_UP_MS = 120_000;
const LONGEST_PAUSE_MS = 8_000;
/** Answers that are only a delay; after any other lost one we don't know what was done. */
const NOTHING_DONE = new Set(["overloaded", "liability_unknown"]);
export const SINGLES = "/v1/bets";
export const SLIPS = "/v1/slips";

/** After two minutes of asking the outcome is not known. Ask again later, with the same key. */
export class StillUnknown extends Error {}

/**
 * Place what `POST path` takes as `body`, and return the Bet.
 *
 * `unsure` is called when an attempt ended without an answer. Throws the `Problem` that refused it,
 * or `StillUnknown`. `delayMs` is the market's bet delay: the answer takes at least that long.
 */
export async function place(stream, { path, body, key }, { delayMs, unsure }) {
  const timeoutMs = delayMs + ANSWER_MS;
  const giveUpAt = performance.now() + delayMs + GIVE_UP_MS;
  for (let tried = 0; performance.now() < giveUpAt; tried++) {
    try {
      // Singles go through the stream. After a lost answer the other way may be open where the
      // first is not.
      const streamed = path === SINGLES && stream.takesBets && tried % 2 === 0;
      if (streamed) return await stream.bet(body, key, timeoutMs);
      return await attempt("POST", path, { body, key, timeoutMs });
    } catch (error) {
      const answered = error instanceof Problem && !error.passing;
      if (answered || !(error instanceof Problem || error instanceof Lost)) throw error;
      if (!NOTHING_DONE.has(error.code)) unsure();
      const pause = Math.min(250 * 2 ** tried, LONGEST_PAUSE_MS);
      await wait(error instanceof Problem ? Math.max(error.retryAfterMs, pause) : pause);
    }
  }
  throw new StillUnknown();
}
