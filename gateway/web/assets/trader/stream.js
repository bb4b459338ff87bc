// The desk's WebSocket: the fixtures on the page as they change. It comes back by itself, and says
// then again what the page watches.

import { leave, line, member, tokenNow } from "./desk.js";
import { clock } from "./figures.js";

const NOT_LOGGED_IN = 4001;

export class DeskLine {
  #socket = null;
  #welcome = false;
  #failures = 0;
  #retry = 0;
  #watched = { fixtures: [], whole: false };

  /**
   * `told(fixture)`: some of its markets are as said; `referred(all)`: bets that wait for a trader;
   * `back()`: the line is live again.
   */
  constructor({ told, referred, back }) {
    this.told = told;
    this.referred = referred;
    this.back = back;
    member.follow((now) => (now ? this.#connect() : this.#close()));
    addEventListener("online", () => member.value && this.#connect());
  }

  #connect() {
    if (this.#socket && this.#socket.readyState <= WebSocket.OPEN) return;
    clearTimeout(this.#retry);
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const url = `${scheme}//${location.host}/v1/desk/stream`;
    const socket = new WebSocket(url, "grandstand.desk.v1");
    this.#socket = socket;
    socket.onopen = () => this.#send({ type: "login", token: tokenNow() });
    socket.onmessage = (frame) => this.#heard(JSON.parse(frame.data));
    socket.onclose = (event) => this.#closed(socket, event.code);
  }

  #close() {
    clearTimeout(this.#retry);
    const socket = this.#socket;
    this.#socket = null;
    this.#welcome = false;
    socket?.close(1000);
    line.set("connecting");
  }

  #closed(socket, code) {
    if (socket !== this.#socket) return;
    this.#welcome = false;
    if (code === NOT_LOGGED_IN) {
      leave("Your session has ended. Please log in again.");
      return;
    }
    line.set("lost");
    const pause = Math.min(500 * 2 ** this.#failures, 15_000);
    this.#failures += 1;
    this.#retry = setTimeout(() => this.#connect(), pause * (0.5 + Math.random()));
  }

  #heard(frame) {
    if (frame.type === "welcome") {
      this.#failures = 0;
      this.#welcome = true;
      line.set("live");
      this.#send({ type: "watch", ...this.#watched });
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
    if (this.#welcome) this.#send({ type: "watch", fixtures, whole });
  }

  #send(frame) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(frame));
  }
}
