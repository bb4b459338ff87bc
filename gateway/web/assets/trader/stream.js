// The desk's WebSocket: the fixtures on the page as they change. When it is back it says again what
// the page watches.

import { Socket } from "../socket.js";
import { leave, line, member, tokenNow } from "./desk.js";
import { clock } from "./figures.js";

const NOT_LOGGED_IN = 4001;

export class DeskLine {
  #socket;
  #welcome = false;
  #watched = { fixtures: [], whole: false };

  /**
   * `told(fixture)`: some of its markets are as said; `referred(all)`: bets that wait for a trader;
   * `back()`: the line is live again.
   */
  constructor({ told, referred, back }) {
    this.told = told;
    this.referred = referred;
    this.back = back;
    this.#socket = new Socket("/v1/desk/stream", "grandstand.desk.v1", {
      opened: () => this.#socket.send({ type: "login", token: tokenNow() }),
      heard: (frame) => this.#heard(frame),
      closed: (code) => this.#closed(code),
    });
    member.follow((now) => (now ? this.#socket.connect() : this.#leave()));
  }

  #leave() {
    this.#socket.leave();
    this.#welcome = false;
    line.set("connecting");
  }

  #closed(code) {
    this.#welcome = false;
    if (code === NOT_LOGGED_IN) leave("Your session has ended. Please log in again.");
    else line.set("lost");
  }

  #heard(frame) {
    if (frame.type === "welcome") {
      this.#welcome = true;
      line.set("live");
      this.#socket.send({ type: "watch", ...this.#watched });
      this.back();
    } else if (frame.type === "fixture") {
      clock(frame.now);
      this.told(frame.fixture);
    } else if (frame.type === "referrals") {
      this.referred(frame);
    }
  }

  /** From here on exactly these fixtures; `whole`: with all their markets and selections. */
  watch(fixtures, whole = false) {
    this.#watched = { fixtures, whole };
    if (this.#welcome) this.#socket.send({ type: "watch", fixtures, whole });
  }
}
