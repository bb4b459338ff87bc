// The account: what the player has, money in and out, and the statement.

import { explain, get, Intent, post, Problem } from "./api.js";
import { arrange, h, LATE_TEXT, setText } from "./dom.js";
import { money, parseAmount, roundMoney, timeText, words } from "./format.js";
import { session, takeWallet, wallet } from "./store.js";

const PAGE = 25;
const SOON_MS = 400;
const LATE_MS = 2_000;
const KINDS = {
  deposit: "Deposit",
  withdrawal: "Withdrawal",
  withdrawal_returned: "Withdrawal returned",
  stake: "Bet placed",
  payout: "Bet paid",
  reversal: "Settlement taken back",
};
const METHODS = {
  "bogus-approved": "Card that is approved",
  "bogus-declined": "Card that is declined",
  "bogus-slow": "Bank that takes its time",
};
const QUICK_MAJOR = [20, 50, 100];

export class Statement {
  #root;
  #entries = new Map();
  #nodes = new Map();
  #cursor = null;
  #asked = 0;
  #soon = 0;
  #version = 0;
  #visible = false;

  constructor(root, { openLogin }) {
    this.#root = root;
    this.#build(openLogin);
    wallet.follow((purse) => this.#walletChanged(purse));
    session.follow(() => {
      this.#entries.clear();
      this.#nodes.clear();
      this.#cursor = null;
      this.#version = 0;
      this.#sync();
      if (this.#visible) this.load();
    });
  }

  #build(openLogin) {
    this.tiles = h("dl", { class: "tiles" });
    this.payments = paymentForm(() => this.load());
    this.problem = h("p", { class: "notice bad", role: "alert", hidden: true });
    this.body = h("tbody", {});
    this.table = h("table", { class: "statement" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Entry"),
        h("th", { scope: "col", class: "number" }, "Amount"),
        h("th", { scope: "col", class: "number" }, "Balance"))),
      this.body);
    this.lateNote = h("p", { class: "notice", hidden: true }, LATE_TEXT);
    this.nothing = h("p", { class: "nothing" }, "No entries yet. Make a deposit to begin.");
    this.more = h("button", { type: "button", class: "more", hidden: true,
      onclick: () => this.load(this.#cursor) }, "Show more");
    this.inside = h("div", {}, this.tiles, this.payments.node, h("h2", {}, "Statement"),
      this.problem, this.lateNote, this.nothing, this.table, this.more);
    this.outside = h("div", { class: "nothing" },
      h("p", {}, "Log in to see your balance and statement."),
      h("button", { type: "button", class: "primary", onclick: () => openLogin() }, "Log in"));
    this.#root.append(
      h("div", { class: "bar" }, h("h1", {}, "Account")), this.inside, this.outside);
  }

  show(visible) {
    this.#visible = visible;
    if (visible) this.load();
  }

  #walletChanged(purse) {
    if (purse) {
      const tile = (name, minor) =>
        h("div", {}, h("dt", {}, name), h("dd", { class: "figure" }, money(minor, purse)));
      this.tiles.replaceChildren(
        tile("Cash", purse.cash_minor),
        tile("In open bets", purse.held_minor),
        ...(purse.withdrawing_minor ? [tile("Being withdrawn", purse.withdrawing_minor)] : []),
        ...(purse.debt_minor ? [tile("Owed after a correction", purse.debt_minor)] : []));
      if (purse.version !== this.#version && this.#visible) {
        this.#loadSoon(SOON_MS);
      }
      this.#version = purse.version;
    }
    this.payments.sync(purse);
    this.#sync();
  }

  /** Read a page: the first one anew, or the one at `cursor` below what is there. */
  async load(cursor = null) {
    if (!session.value) return;
    const asked = ++this.#asked;
    this.more.disabled = true;
    try {
      const page = await get("/v1/wallet/statement", { cursor, limit: String(PAGE) });
      if (asked !== this.#asked) return;
      if (!cursor) this.#entries.clear();
      for (const entry of page.items) this.#entries.set(entry.entry_id, entry);
      this.#cursor = page.next_cursor ?? null;
      this.problem.hidden = true;
      this.#catchUp(page);
    } catch (error) {
      if (asked !== this.#asked || !session.value) return;
      setText(this.problem, explain(error));
      this.problem.hidden = false;
    } finally {
      this.more.disabled = false;
    }
    this.#sync();
  }

  /** The statement is made behind the wallet; where it says that it is late, it is read again. */
  #catchUp(page) {
    this.lateNote.hidden = page.up_to_date;
    if (!page.up_to_date) this.#loadSoon(LATE_MS);
  }

  #loadSoon(ms) {
    clearTimeout(this.#soon);
    this.#soon = setTimeout(() => this.#visible && this.load(), ms);
  }

  #sync() {
    this.outside.hidden = Boolean(session.value);
    this.inside.hidden = !session.value;
    this.nothing.hidden = this.#entries.size > 0;
    this.table.hidden = this.#entries.size === 0;
    this.more.hidden = !this.#cursor;
    if (!wallet.value) return;
    // An entry never changes once it is written, so its node never does.
    const kept = new Map();
    for (const [id, entry] of this.#entries) kept.set(id, this.#nodes.get(id) ?? entryNode(entry));
    this.#nodes = kept;
    arrange(this.body, [...kept.values()]);
  }
}

function entryNode(entry) {
  const purse = { currency: entry.currency, minor_digits: wallet.value.minor_digits };
  const way = entry.amount_minor < 0 ? "out" : "in";
  return h("tr", { "data-kind": entry.kind },
    h("td", {},
      h("span", { class: "entry-kind" }, KINDS[entry.kind] ?? words(entry.kind)),
      h("span", { class: "soft entry-foot" },
        h("time", { datetime: entry.at }, timeText(entry.at)), h("code", {}, entry.reference))),
    h("td", { class: `number figure amount-${way}` }, money(entry.amount_minor, purse, "always")),
    h("td", { class: "number figure" }, money(entry.balance_after_minor, purse)));
}

/** Deposits and withdrawals, through the processor that only pretends. */
function paymentForm(done) {
  const intent = new Intent();
  const kinds = { deposits: "Deposit", withdrawals: "Withdraw" };
  const radios = Object.entries(kinds).map(([value, label]) => {
    const input = h("input", { type: "radio", name: "payment", value });
    input.checked = value === "deposits";
    input.addEventListener("change", () => setText(button, label));
    return { input, node: h("label", {}, input, h("span", {}, label)) };
  });
  const amount = h("input", { id: "amount", type: "text", inputmode: "decimal", autocomplete: "off",
    placeholder: "0.00", "aria-describedby": "amount-says" });
  const quick = h("div", { class: "quick", role: "group", "aria-label": "Quick amounts" });
  const says = h("p", { class: "says", id: "amount-says", role: "status" });
  const method = h("select", { id: "method" },
    ...Object.entries(METHODS).map(([value, label]) => h("option", { value }, label)));
  const button = h("button", { type: "submit", class: "primary" }, "Deposit");
  const row = h("div", { class: "field" },
    h("label", { for: "amount" }, "Amount"), amount, quick, says);
  const node = h("form", { class: "payments", novalidate: true },
    h("fieldset", { class: "segments" }, h("legend", { class: "hush" }, "Money in or out"),
      h("div", {}, ...radios.map((it) => it.node))),
    row,
    h("div", { class: "field" }, h("label", { for: "method" }, "Method"), method),
    button,
    h("p", { class: "demo" }, h("b", {}, "Demonstration."),
      " These methods belong to a pretend processor. No real money moves."));

  const say = (text, wrong) => {
    setText(says, text);
    row.classList.toggle("is-wrong", wrong);
    amount.setAttribute("aria-invalid", String(wrong));
  };

  node.addEventListener("submit", async (event) => {
    event.preventDefault();
    const purse = wallet.value;
    if (!purse) return;
    const { minor, error } = parseAmount(amount.value, purse.minor_digits);
    if (error) {
      say(error, true);
      amount.focus();
      return;
    }
    const kind = radios.find((it) => it.input.checked).input.value;
    const body = {
      amount_minor: minor,
      currency: purse.currency,
      processor: "bogus",
      method: method.value,
    };
    const key = intent.keyFor({ kind, ...body });
    button.disabled = true;
    say("Waiting for the processor…", false);
    try {
      const payment = await post(`/v1/wallet/${kind}`, body, key);
      intent.answered();
      const what = `${kind === "deposits" ? "Deposit" : "Withdrawal"} of ${money(minor, purse)}`;
      say(payment.state === "completed" ? `${what} completed.` : `${what} is on its way.`, false);
      amount.value = "";
      takeWallet(await get("/v1/wallet"));
      done();
    } catch (refusal) {
      if (refusal instanceof Problem && !refusal.passing) intent.answered();
      say(paymentText(refusal, purse), true);
    }
    button.disabled = false;
  });

  return {
    node,
    /** Amounts are offered in the wallet's currency. */
    sync(purse) {
      if (!purse || quick.dataset.currency === purse.currency) return;
      quick.dataset.currency = purse.currency;
      const unit = 10 ** purse.minor_digits;
      quick.replaceChildren(...QUICK_MAJOR.map((major) =>
        h("button", { type: "button", onclick: () => {
          amount.value = String(major);
          say("", false);
          amount.focus();
        } }, roundMoney(major * unit, purse))));
    },
  };
}

function paymentText(problem, purse) {
  switch (problem.code) {
    case "payment_declined":
      return "The processor declined the payment. Nothing was taken.";
    case "insufficient_funds":
      return `You can withdraw up to ${money(problem.document.cash_minor, purse)}.`;
    default:
      return explain(problem);
  }
}
