// Bets that wait for a trader's word, most urgent first: yes, yes to less, or no, before the time
// is out. Below them what the house has noticed in what is bet.

import { explain } from "../request.js";
import { arrange, h, setText, toast } from "../dom.js";
import { timeText, words } from "../format.js";
import { betName } from "../kinds.js";
import { act, may, member, read } from "./desk.js";
import { field, openAction } from "./dialog.js";
import { cash, cashField, clock, nowMs, parseCash, parsePrice, price, priceField }
  from "./figures.js";

const ALERTS_MS = 15_000;
const SOON_S = 15;
const PATTERNS = {
  new_accounts: "Many new accounts on one selection",
  stake_above_habit: "A stake far above the player's habit",
  before_price_change: "Bets just before the price became shorter",
};

export class ReferralsPage {
  #cards = new Map();
  #visible = false;
  #later = 0;
  #told;
  #known = false;
  /** Those that were answered here, until a ledger that was late knows it. */
  #answered = new Set();

  /** `told(count)`: so many wait now. */
  constructor(root, { told }) {
    this.#told = told;
    this.problem = h("p", { class: "notice bad", role: "alert", hidden: true });
    this.late = h("p", { class: "notice", role: "status", hidden: true },
      "The ledger is behind: a bet that has just come may be missing.");
    this.nothing = h("p", { class: "nothing", hidden: true }, "No bet waits for a trader.");
    this.list = h("ul", { class: "referrals", "aria-label": "Bets that wait" });
    this.alerts = h("ol", { class: "audit alerts" });
    this.quiet = h("p", { class: "soft", hidden: true }, "Nothing was noticed yet.");
    root.append(h("div", { class: "bar" }, h("h1", {}, "Referrals")),
      h("p", { class: "soft" }, "Stakes above what a market takes by itself. No money is held."),
      this.problem, this.late, this.nothing, this.list,
      h("h2", { class: "part" }, "Alerts"), this.quiet, this.alerts);
    // Who logs in next hears of all that wait, as if they were new.
    member.follow(() => this.#forget());
  }

  show(visible) {
    this.#visible = visible;
    clearTimeout(this.#later);
    if (!visible) return;
    this.#load();
    this.#loadAlerts();
  }

  async #load() {
    try {
      this.take(await read("referrals"));
      this.problem.hidden = true;
    } catch (error) {
      setText(this.problem, explain(error));
      this.problem.hidden = false;
    }
  }

  async #loadAlerts() {
    try {
      const { items } = await read("alerts", { limit: "20" });
      this.alerts.replaceChildren(...items.map(alertRow));
      this.quiet.hidden = items.length > 0;
    } catch {
      // They stay as they were, and are read again in a moment.
    }
    clearTimeout(this.#later);
    if (this.#visible) this.#later = setTimeout(() => this.#loadAlerts(), ALERTS_MS);
  }

  #forget() {
    this.#cards.clear();
    this.#answered.clear();
    this.#known = false;
    this.#arrange();
  }

  /** All that wait, as the stream or an answer says it. */
  take({ now, items, up_to_date: upToDate }) {
    clock(now);
    if (upToDate) this.#answered.clear();
    this.late.hidden = upToDate;
    const waiting = new Map(items.map((it) => [it.referral.referral_id, it])
      .filter(([id]) => !this.#answered.has(id)));
    for (const id of this.#cards.keys()) if (!waiting.has(id)) this.#cards.delete(id);
    for (const [id, it] of waiting) {
      const known = this.#cards.get(id);
      if (known) {
        known.take(it);
        continue;
      }
      this.#cards.set(id, new Card(it, () => this.#over(id)));
      if (this.#known && !this.#visible) {
        toast(`A bet waits: ${cash(it.referral.stake_minor)} on ${nameOf(it)}.`);
      }
    }
    this.#known = true;
    this.#arrange();
  }

  #over(id) {
    this.#answered.add(id);
    this.#cards.delete(id);
    this.#arrange();
  }

  #arrange() {
    arrange(this.list, [...this.#cards.values()].map((it) => it.node));
    this.nothing.hidden = this.#cards.size > 0 || !this.late.hidden;
    this.#told(this.#cards.size);
  }

  tick() {
    for (const card of this.#cards.values()) card.tick();
  }

  move(by) {
    const cards = [...this.list.children];
    const at = cards.findIndex((it) => it.contains(document.activeElement));
    const to = Math.min(cards.length - 1, Math.max(0, at < 0 ? 0 : at + by));
    cards[to]?.querySelector("a, button").focus();
  }

  /** No market is chosen here. */
  focused() {
    return undefined;
  }
}

class Card {
  #over;

  constructor(it, over) {
    this.#over = over;
    this.it = it;
    const of = `bet-${it.referral.referral_id}`;
    const button = (text, name, run) => {
      const node = h("button", { type: "button", class: name, onclick: run,
        "aria-describedby": of }, text);
      node.hidden = !may("trader");
      return node;
    };
    const { referral } = it;
    this.now = it.legs ? null : h("b", {});
    this.legsNow = new Map();
    this.left = h("b", { class: "left" });
    const figure = (label, value) => h("div", {}, h("dt", {}, label), h("dd", {}, value));
    this.node = h("li", { class: "referral", "data-referral": referral.referral_id },
      it.legs ? h("p", { id: of }, h("b", {}, nameOf(it))) : h("p", { id: of }, ...placeOf(it,
        { ...it, ...referral })),
      it.legs ? h("ol", { class: "referred-legs" }, ...it.legs.map((leg) => this.#leg(leg))) : null,
      h("dl", {}, figure("Stake", h("b", {}, cash(referral.stake_minor))),
        ...(it.legs ? this.#figuresOfSlip(figure) : this.#figuresOfSingle(figure)),
        figure("Player", h("a", { href: `#/risk/${encodeURIComponent(it.player_id)}` },
          it.player_id)), figure("Time left", this.left)),
      h("p", { class: "buttons" },
        button("Accept", "small", () => this.#accept()),
        button("Offer less", "small", () => this.#offer()),
        button("Refuse", "small danger", () => this.#refuse())));
    this.take(it);
  }

  #figuresOfSingle(figure) {
    const { referral } = this.it;
    const wins = Math.floor((referral.stake_minor * (referral.odds - 10_000)) / 10_000);
    return [figure("Price asked for", h("b", {}, price(referral.odds))),
      figure("Price now", this.now), figure("Would win", h("b", {}, cash(wins)))];
  }

  #figuresOfSlip(figure) {
    const { lines, potential_payout_minor: most } = this.it.referral.slip;
    return [figure("Lines", String(lines.lines)), figure("Pays at most", h("b", {}, cash(most)))];
  }

  /** A leg of a slip: where it is, its price as asked for, and that of each selection now. */
  #leg(leg) {
    const rows = leg.selections.map((it) => {
      const now = h("span", { class: "figure" });
      this.legsNow.set(`${it.market_id} ${it.selection_id}`, now);
      return h("span", { class: "place" }, ...placeOf(leg, it), " now ", now);
    });
    return h("li", {}, h("b", { class: "figure" }, leg.odds ? price(leg.odds) : "SP"),
      leg.banker ? " Banker" : "", ...rows);
  }

  take(it) {
    this.it = it;
    if (this.now) setText(this.now, price(it.odds_now));
    for (const { market_id: market, selection_id: id, odds_now: odds } of selectionsOf(it)) {
      setText(this.legsNow.get(`${market} ${id}`), price(odds));
    }
    this.tick();
  }

  tick() {
    const seconds = Math.ceil((Date.parse(this.it.referral.expires_at) - nowMs()) / 1000);
    setText(this.left, seconds > 0 ? `${seconds} s` : "Over");
    this.left.classList.toggle("is-soon", seconds <= SOON_S);
    for (const button of this.node.querySelectorAll("button")) button.disabled = seconds <= 0;
  }

  get #about() {
    const { it } = this;
    if (!it.legs) return `${it.selection_name}, ${it.market_name}, ${it.fixture_name}`;
    return selectionsOf(it).map((one) => one.selection_name).join(", ");
  }

  /** What it is asked at: a slip has a price for each leg. */
  get #terms() {
    const { referral } = this.it;
    const stake = cash(referral.stake_minor);
    return this.it.legs ? `${stake} on ${nameOf(this.it)}` : `${stake} at ${price(referral.odds)}`;
  }

  #answer(how, body, key) {
    return act(`referrals/${this.it.referral.referral_id}/${how}`, body, key);
  }

  #accept() {
    openAction({
      title: `Accept ${this.#terms}`,
      about: this.#about,
      action: "Accept",
      submit: (reason, key) => this.#answer("accept", { reason }, key),
      done: () => this.#done("Accepted: the player may take it now."),
    });
  }

  #offer() {
    const { referral } = this.it;
    const stake = field("Stake", h("input", { inputmode: "decimal", autocomplete: "off",
      value: cashField(referral.stake_minor) }), `At most ${cash(referral.stake_minor)}`);
    const odds = field("Price", h("input", { inputmode: "decimal", autocomplete: "off",
      value: priceField(referral.odds) }));
    // A slip keeps its prices, and its stake is as much on each line.
    const lines = referral.slip?.lines.lines;
    let body = {};
    openAction({
      title: lines ? "Offer a smaller stake" : "Offer a smaller stake or another price",
      about: this.#about,
      fields: [h("div", { class: "fields" }, stake.node, lines ? null : odds.node)],
      action: "Offer",
      check: () => {
        const { minor, error } = parseCash(stake.input.value);
        const parsed = parsePrice(odds.input.value);
        const uneven = minor % (lines ?? 1) ? `It can't be as much on each of ${lines} lines.` : "";
        const above = minor > referral.stake_minor ? "More than was asked for." : uneven;
        stake.say(error ?? (minor ? above : "Write a stake."));
        odds.say(parsed.error ?? (parsed.odds ? "" : "Write a price."));
        if (error || !minor || above) return "The stake can't be offered.";
        if (!lines && (parsed.error || !parsed.odds)) return "The price can't be offered.";
        body = lines ? { stake_minor: minor } : { stake_minor: minor, odds: parsed.odds };
        return "";
      },
      submit: (reason, key) => this.#answer("accept", { ...body, reason }, key),
      done: () => this.#done("Offered: the player may take it now."),
    });
  }

  #refuse() {
    openAction({
      title: `Refuse ${this.#terms}`,
      about: this.#about,
      danger: true,
      action: "Refuse",
      submit: (reason, key) => this.#answer("refuse", { reason }, key),
      done: () => this.#done("Refused."),
    });
  }

  #done(text) {
    toast(text, "good");
    this.#over();
  }
}

/** Every selection of a slip; of a single none. */
function selectionsOf(it) {
  return (it.legs ?? []).flatMap((leg) => leg.selections);
}

/** What a bet is called: a single by its selection, a slip by its kind. */
function nameOf(it) {
  if (!it.legs) return it.selection_name;
  const legs = it.legs.flatMap((leg, at) =>
    leg.selections.map(() => ({ leg: at, banker: leg.banker })));
  return betName({ lines: it.referral.slip.lines, legs });
}

/** A selection as a link to its market, and the fixture it is on. */
function placeOf({ fixture_id: fixture, fixture_name: name }, selection) {
  const href = `#/event/${fixture}/${selection.market_id.slice(fixture.length + 1)}`;
  return [h("a", { href }, `${selection.selection_name} · ${selection.market_name}`),
    h("span", { class: "soft" }, ` ${name}`)];
}

function alertRow(alert) {
  const facts = Object.entries(alert.facts).map(([name, value]) =>
    `${words(name)}: ${name.endsWith("_minor") ? cash(value) : value}`);
  const [kind, playerId] = alert.subject.split("/");
  const subject = kind === "player"
    ? h("a", { href: `#/risk/${encodeURIComponent(playerId)}` }, alert.subject) : alert.subject;
  return h("li", {}, h("p", {}, h("b", {}, PATTERNS[alert.pattern]), " · ", subject),
    h("p", { class: "soft" }, [timeText(alert.at), ...facts].join(" · ")));
}
