// The WebSocket: prices and the player's own news as they happen, and bets the fastest way.
// When it is back it says where it stopped, and it asks again where something was missed.

import { Lost, Problem, wait } from "./api.js";
import { Socket } from "./socket.js";
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
  #socket;
  #lastId = 0;
  #waiting = new Map();
  #wanted = new Set();
  #recovering = new Set();
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
    this.#socket = new Socket("/v1/stream", "grandstand.v1", {
      opened: () => this.#opened(),
      heard: (message) => this.#received(message),
      closed: (code) => this.#closed(code),
    });
    session.follow((now) => {
      if (!this.#socket.open) return;
      if (now) this.#logIn(now.token);
      // There is no logging out of a socket: another one is made that never knew the player.
      else this.#socket.renew();
    });
  }

  get takesBets() {
    return this.#loggedIn && this.#socket.open;
  }

  connect() {
    this.#socket.connect();
  }

  #opened() {
    connection.set("live");
    if (session.value) this.#logIn(session.value.token);
    this.#subscribe([EVERY_FIXTURE]);
    this.#subscribe([...this.#wanted]);
    this.#ping = setInterval(() => {
      // A line that is dead without having been closed is only noticed by asking.
      this.#ask({ type: "ping" }, ANSWER_MS).catch(() => this.#socket.renew());
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
  }

  #received(message) {
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
      else this.#socket.renew();
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
    if (!this.#socket.open) return;
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
      if (again && this.#socket.open) this.#follow(rest, from);
    }
  }

  /** Place a bet: the Bet, a `Problem`, or `Lost` when no answer came within `timeoutMs`. */
  async bet(bet, key, timeoutMs) {
    const answer = await this.#ask({ type: "bet", key, bet }, timeoutMs);
    return answer.bet;
  }

  #send(frame) {
    this.#lastId += 1;
    this.#socket.send({ ...frame, id: this.#lastId });
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
