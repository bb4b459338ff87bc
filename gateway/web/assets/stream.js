// The WebSocket: prices and the player's own news as they happen, and bets the fastest way.
// It comes back by itself, says where it stopped, and asks again where something was missed.

import { Lost, Problem, wait } from "./api.js";
import { connection, logOutHere, session, takeWallet } from "./store.js";

const PING_MS = 20_000;
const ANSWER_MS = 10_000;
const IDS_A_FRAME = 100;
const DELTAS = new Set([
  "prices", "market", "selection", "status", "withdrawn", "result", "settled", "phase",
]);
const NOT_LOGGED_IN = 4001;
const EVERY_FIXTURE = "*";

export class Stream {
  #book;
  #socket = null;
  #lastId = 0;
  #waiting = new Map();
  #wanted = new Set();
  #recovering = new Set();
  #failures = 0;
  #retry = 0;
  #ping = 0;
  /** Whether the socket speaks for the player, so that bets can go through it. */
  #loggedIn = false;
  /** The token the socket was logged in with. */
  #token = "";

  /** `news` has a method for each thing that views want: fixture, phase, betUpdate, referral,
   * live.
   */
  constructor(book, news) {
    this.#book = book;
    this.news = news;
    addEventListener("online", () => this.#connectNow());
    session.follow((now) => {
      if (this.#socket?.readyState !== WebSocket.OPEN) return;
      if (now) this.#logIn(now.token);
      // There is no logging out of a socket: another one is made that never knew the player.
      else this.#socket.close(1000);
    });
  }

  get takesBets() {
    return this.#loggedIn && this.#socket?.readyState === WebSocket.OPEN;
  }

  connect() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/v1/stream`, "grandstand.v1");
    this.#socket = socket;
    socket.onopen = () => this.#opened();
    socket.onmessage = (frame) => this.#received(JSON.parse(frame.data));
    socket.onclose = (event) => this.#closed(event.code);
  }

  #connectNow() {
    if (this.#socket && this.#socket.readyState <= WebSocket.OPEN) return;
    clearTimeout(this.#retry);
    this.connect();
  }

  #opened() {
    connection.set("live");
    if (session.value) this.#logIn(session.value.token);
    this.#subscribe([EVERY_FIXTURE]);
    this.#subscribe([...this.#wanted]);
    this.#ping = setInterval(() => {
      // A line that is dead without having been closed is only noticed by asking.
      this.#ask({ type: "ping" }, ANSWER_MS).catch(() => this.#socket.close());
    }, PING_MS);
    this.news.live();
  }

  #closed(code) {
    clearInterval(this.#ping);
    this.#loggedIn = false;
    this.#recovering.clear();
    for (const asked of this.#waiting.values()) asked.reject(new Lost("The connection was lost."));
    this.#waiting.clear();
    connection.set("lost");
    if (code === NOT_LOGGED_IN) this.#sessionOver(this.#token);
    // Spread out, so that a gateway's many players don't all knock at the next one at once.
    const pause = Math.min(500 * 2 ** this.#failures, 15_000);
    this.#failures += 1;
    this.#retry = setTimeout(() => this.connect(), pause * (0.5 + Math.random()));
  }

  #received(message) {
    this.#failures = 0;
    if (this.#waiting.has(message.id)) {
      const asked = this.#waiting.get(message.id);
      this.#waiting.delete(message.id);
      if (message.type === "problem") asked.reject(new Problem(message.problem));
      else asked.resolve(message);
    } else if (message.type === "snapshot") {
      this.#recovering.delete(message.fixture.fixture_id);
      if (this.#wanted.has(message.fixture.fixture_id)) this.#book.load(message.fixture);
    } else if (message.type === "fixture") {
      this.news.fixture(message.fixture);
    } else if (message.type === "balance") {
      takeWallet(message.wallet);
    } else if (message.type === "bet_update") {
      this.news.betUpdate(message.bet);
    } else if (message.type === "referral_update") {
      this.news.referral(message.referral);
    } else if (DELTAS.has(message.type)) {
      this.#delta(message);
    }
  }

  #delta(message) {
    const fixtureId = message.fixture_id;
    if (this.#book.apply(message) === "gap" && this.#wanted.has(fixtureId)) {
      // Until the snapshot comes, all that follows is a gap too: ask once.
      if (!this.#recovering.has(fixtureId)) {
        this.#recovering.add(fixtureId);
        this.#follow([fixtureId], {});
      }
    }
    if (message.type === "phase") this.news.phase(message);
  }

  async #logIn(token) {
    this.#token = token;
    try {
      await this.#ask({ type: "login", token }, ANSWER_MS);
      this.#loggedIn = token === session.value?.token;
    } catch (error) {
      if (error.status === 401) this.#sessionOver(token);
      // Without a log-in the player's news don't come: try again on another socket.
      else this.#socket.close();
    }
  }

  #sessionOver(token) {
    // Somebody may have logged in anew meanwhile.
    if (session.value && session.value.token === token) {
      logOutHere("Your session has ended. Please log in again.");
    }
  }

  /** Follow exactly these fixtures from now on. */
  want(fixtureIds) {
    const wanted = new Set(fixtureIds);
    const added = [...wanted].filter((it) => !this.#wanted.has(it));
    const dropped = [...this.#wanted].filter((it) => !wanted.has(it));
    this.#wanted = wanted;
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    this.#subscribe(added);
    if (dropped.length) this.#send({ type: "unsubscribe", fixtures: dropped });
  }

  #subscribe(fixtureIds) {
    for (let at = 0; at < fixtureIds.length; at += IDS_A_FRAME) {
      const some = fixtureIds.slice(at, at + IDS_A_FRAME);
      const from = {};
      for (const fixtureId of some) {
        const known = this.#book.fixture(fixtureId);
        if (known) from[fixtureId] = known.seq;
      }
      this.#follow(some, from);
    }
  }

  /** Subscribe to these. The server takes all of a frame or none, and names the one in the way. */
  async #follow(fixtureIds, from) {
    try {
      await this.#ask({ type: "subscribe", fixtures: fixtureIds, from }, ANSWER_MS);
    } catch (error) {
      // A lost line subscribes anew when it is back.
      if (!(error instanceof Problem)) return;
      const inTheWay = error.passing ? "" : error.document.fixture_id;
      if (error.passing) await wait(error.retryAfterMs);
      const rest = fixtureIds.filter(
        (it) => it !== inTheWay && (it === EVERY_FIXTURE || this.#wanted.has(it)),
      );
      const again = rest.length && (error.passing || inTheWay);
      if (again && this.#socket.readyState === WebSocket.OPEN) this.#follow(rest, from);
    }
  }

  /** Place a bet: the Bet, a `Problem`, or `Lost` when no answer came within `timeoutMs`. */
  async bet(bet, key, timeoutMs) {
    const answer = await this.#ask({ type: "bet", key, bet }, timeoutMs);
    return answer.bet;
  }

  #send(frame) {
    this.#lastId += 1;
    this.#socket.send(JSON.stringify({ ...frame, id: this.#lastId }));
    return this.#lastId;
  }

  #ask(frame, timeoutMs) {
    return new Promise((resolve, reject) => {
      const id = this.#send(frame);
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new Lost("No answer came in time."));
      }, timeoutMs);
      const settle = (how) => (value) => {
        clearTimeout(timer);
        how(value);
      };
      this.#waiting.set(id, { resolve: settle(resolve), reject: settle(reject) });
    });
  }
}
