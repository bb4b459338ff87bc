// A WebSocket that comes back by itself, later and later while nobody answers.

const LONGEST_MS = 15_000;

export class Socket {
  #path;
  #protocol;
  #told;
  #socket = null;
  #wanted = false;
  #failures = 0;
  #retry = 0;

  /**
   * `opened()`, `heard(frame)` and `closed(code)` are told of it; of the line that was closed by
   * `leave` nothing more is.
   */
  constructor(path, protocol, told) {
    this.#path = path;
    this.#protocol = protocol;
    this.#told = told;
    addEventListener("online", () => this.#wanted && this.connect());
  }

  get open() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Now, unless it is there. */
  connect() {
    this.#wanted = true;
    if (this.#socket && this.#socket.readyState !== WebSocket.CLOSED) return;
    clearTimeout(this.#retry);
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}${this.#path}`, this.#protocol);
    this.#socket = socket;
    socket.onopen = () => socket === this.#socket && this.#told.opened();
    socket.onmessage = (frame) => {
      if (socket !== this.#socket) return;
      this.#failures = 0;
      this.#told.heard(JSON.parse(frame.data));
    };
    socket.onclose = (event) => socket === this.#socket && this.#closed(event.code);
  }

  #closed(code) {
    this.#told.closed(code);
    if (!this.#wanted) return;
    // Spread out, so that a gateway's many pages don't all knock at the next one at once.
    const pause = Math.min(500 * 2 ** this.#failures, LONGEST_MS);
    this.#failures += 1;
    this.#retry = setTimeout(() => this.connect(), pause * (0.5 + Math.random()));
  }

  /** Another line in place of this one. */
  renew() {
    this.#socket?.close(1000);
  }

  /** Close it, and stay away. */
  leave() {
    this.#wanted = false;
    clearTimeout(this.#retry);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(1000);
  }

  send(frame) {
    if (this.open) this.#socket.send(JSON.stringify(frame));
  }
}
