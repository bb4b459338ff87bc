// The player's requests, in the player's session.

import { caller, newKey } from "./request.js";
import { logOutHere, session } from "./store.js";

export { explain, Lost, newKey, Problem, wait } from "./request.js";

export const { attempt, get, post } = caller({
  token: () => session.value?.token ?? "",
  over: () => logOutHere("Your session has ended. Please log in again."),
});

/**
 * The key of what a form means to do. Pressing the button again after a lost answer is the same
 * intention; another amount, or an answer that is known, begins a new one.
 */
export class Intent {
  #body = "";
  #key = "";

  keyFor(body) {
    const text = JSON.stringify(body);
    if (text !== this.#body) {
      this.#body = text;
      this.#key = newKey();
    }
    return this.#key;
  }

  answered() {
    this.#body = "";
  }
}
