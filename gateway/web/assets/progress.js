// How far a bet on its way has come.

import { h } from "./dom.js";

export class Progress {
  #check;
  #tick = 0;

  /** `check()` asks again about a bet whose outcome is not known. */
  constructor(check) {
    this.#check = check;
    this.node = h("div", { class: "progress", role: "status", hidden: true });
  }

  sync(attempt) {
    this.node.hidden = !attempt;
    clearTimeout(this.#tick);
    if (!attempt) return;
    const left = attempt.began_ms + attempt.delay_ms - Date.now();
    if (attempt.phase === "placing" && left > 0) {
      this.#tick = setTimeout(() => this.sync(attempt), left % 1000 || 1000);
    }
    const view = `${attempt.phase} ${attempt.phase === "placing" ? Math.ceil(left / 1000) : ""}`;
    if (this.node.dataset.view === view) return;
    this.node.dataset.view = view;
    this.node.replaceChildren(...this.#nodes(attempt, left));
  }

  #nodes(attempt, left) {
    const said = (text) => h("p", {}, text);
    const bar = h("progress", { "aria-hidden": "true" });
    switch (attempt.phase) {
      case "placing":
        if (left <= 0) return [said("Placing your bet…"), bar];
        bar.max = attempt.delay_ms;
        bar.value = attempt.delay_ms - left;
        return [said(`In play: checking the price… ${Math.ceil(left / 1000)} s`), bar];
      case "checking":
        return [said("We are checking whether your bet was placed…"), bar];
      case "login":
        return [said("Log in to find out whether your bet was placed.")];
      default:
        return [
          said("We still don't know whether your bet was placed. It can't be placed twice."),
          h("button", { type: "button", class: "fix", onclick: () => this.#check() },
            "Check again"),
        ];
    }
  }
}
