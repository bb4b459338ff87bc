// What a slip would pay, asked of the server: at once, then at most a few times a second, however
// often prices move.

import { attempt, Lost, Problem } from "./api.js";

const APART_MS = 300;
const AGAIN_MS = 3_000;
/** Between two times that the same is asked. */
const REFRESH_MS = 1_000;

export class Quote {
  #answered;
  #wanted = "";
  #known = "";
  #timer = 0;
  #askedAt = -APART_MS;
  /** The last SlipQuote, or null; while another is asked for, of the slip before. */
  value = null;
  /** The `Problem` that the wanted slip is refused with, or null. */
  problem = null;

  /** `answered()` is called when there is something new to show. */
  constructor(answered) {
    this.#answered = answered;
  }

  /** Follow this body of POST /v1/slips/quote from now on; null for none. */
  want(body) {
    const text = body ? JSON.stringify(body) : "";
    if (text === this.#wanted) return;
    this.#wanted = text;
    if (!text) {
      this.#known = "";
      this.value = this.problem = null;
      return;
    }
    this.#soon(Math.max(0, this.#askedAt + APART_MS - performance.now()));
  }

  /** Ask again what is wanted: the answer may have changed. What was answered stays until then. */
  refresh() {
    if (!this.#wanted || this.#wanted !== this.#known) return;
    this.#known = "";
    this.#soon(Math.max(0, this.#askedAt + REFRESH_MS - performance.now()));
  }

  #soon(ms) {
    this.#timer ||= setTimeout(() => {
      this.#timer = 0;
      this.#ask();
    }, ms);
  }

  async #ask() {
    const text = this.#wanted;
    if (!text || text === this.#known) return;
    this.#askedAt = performance.now();
    try {
      const value = await attempt("POST", "/v1/slips/quote", { body: JSON.parse(text) });
      this.#take(text, value, null);
    } catch (error) {
      if (error instanceof Problem && !error.passing) this.#take(text, null, error);
      else if (error instanceof Problem || error instanceof Lost) this.#soon(AGAIN_MS);
      else throw error;
    }
  }

  #take(text, value, problem) {
    // An answer about what is not wanted any more says nothing of what is.
    if (text !== this.#wanted) return;
    this.#known = text;
    this.value = value;
    this.problem = problem;
    this.#answered();
  }
}
