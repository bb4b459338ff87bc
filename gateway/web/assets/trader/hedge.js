// What is laid off elsewhere: what the house proposes for a market, and what became of an order.

import { explain } from "../request.js";
import { h, setText, toast } from "../dom.js";
import { act, read } from "./desk.js";
import { field, openAction } from "./dialog.js";
import { cash, cashField, ONE, parseCash, parsePercent, parsePrice, price, priceField }
  from "./figures.js";

/** The proposal for a market, and a form for what was laid off by hand. */
export function openHedge(market, done) {
  const proposed = h("div", { class: "pays", role: "status" }, "Asking the exchange…");
  const form = hedgeForm(market.selections.filter((it) => !it.withdrawn)
    .map((it) => [it.selection_id, it.name]));
  openAction({
    title: `Hedge ${market.name}`,
    about: "What the house proposes by its settings. Nothing is ordered here: write down what " +
      "you have laid off elsewhere.",
    fields: [proposed, form.node],
    action: "Write it down",
    check: form.check,
    submit: (reason, key) =>
      act(`markets/${market.market_id}/hedges`, { ...form.body(), reason }, key),
    done: (made) => {
      toast(`Written down: it wins ${cash(made.wins_minor)}.`, "good");
      done?.();
    },
  });
  propose(market, proposed, form);
}

async function propose(market, place, form) {
  try {
    const it = await read(`markets/${market.market_id}/hedge-proposal`);
    const name = Object.fromEntries(market.selections.map((one) => [one.selection_id, one.name]));
    place.replaceChildren(...it.orders.map((order) => h("p", {},
      `Back ${name[order.selection_id] ?? order.selection_id}: `,
      h("b", {}, `${cash(order.stake_minor)} at ${price(order.odds)}`), ` at ${it.exchange} `,
      h("button", { type: "button", class: "small",
        onclick: () => form.fill(order, it.exchange) }, "Take over"))),
    h("p", { class: "soft" }, sumText(it)));
  } catch (error) {
    setText(place, explain(error));
  }
}

function sumText(it) {
  if (!it.known) return "The liability is being read: look again in a moment.";
  const now = `The worst case by singles is ${cash(it.before_minor)}`;
  if (it.orders.length) {
    return `${now}, and ${cash(it.after_minor)} with this.` +
      (it.placed_by_itself ? " The house orders it by itself." : "");
  }
  return `${now}: ${it.exchange ? "there is nothing to lay off" : "no exchange is set up"}.`;
}

/** Say of an order that it was made after all. */
export function openMade(hedge, done) {
  const form = hedgeForm([[hedge.selection_id, hedge.selection_id]]);
  form.fill(hedge, hedge.exchange);
  openAction({
    title: `${hedge.exchange} has made the bet`,
    about: `${hedge.selection_id}, ${hedge.market_id}`,
    fields: [form.node],
    action: "Write it down",
    check: form.check,
    submit: (reason, key) => act(`markets/${hedge.market_id}/hedges`,
      { ...form.body(), hedge_id: hedge.hedge_id, reason }, key),
    done,
  });
}

/** Say of an order that it was not made and will not be. */
export function openLapse(hedge, done) {
  openAction({
    title: `${hedge.exchange} has not made the bet`,
    about: `${cash(hedge.stake_minor)} on ${hedge.selection_id} at ${price(hedge.odds)}. ` +
      "Only when you have seen there that it is not made, and will not be.",
    danger: true,
    action: "Let it lapse",
    submit: (reason, key) =>
      act(`markets/${hedge.market_id}/hedges/${hedge.hedge_id}/lapse`, { reason }, key),
    done,
  });
}

function hedgeForm(selections) {
  const text = (value = "") => h("input", { autocomplete: "off", maxlength: "100", value });
  const figure = () => h("input", { inputmode: "decimal", autocomplete: "off" });
  const on = field("Selection", h("select", {},
    ...selections.map(([value, name]) => h("option", { value }, name))));
  const stake = field("Stake", figure());
  const odds = field("Price", figure());
  const commission = field("Commission, per cent of the win", figure());
  const exchange = field("Where", text());
  const reference = field("What it is called there", text());
  commission.input.value = "0";
  let body = {};
  return {
    node: h("div", { class: "fields" }, on.node, stake.node, odds.node, commission.node,
      exchange.node, reference.node),
    fill(order, where) {
      on.input.value = order.selection_id;
      stake.input.value = cashField(order.stake_minor);
      odds.input.value = priceField(order.odds);
      commission.input.value = String((order.commission ?? 0) / 100);
      exchange.input.value = where;
      reference.input.focus();
    },
    check() {
      const { minor, error } = parseCash(stake.input.value);
      const parsed = parsePrice(odds.input.value);
      const percent = parsePercent(commission.input.value);
      const taken = percent !== null && percent <= ONE;
      stake.say(error ?? (minor ? "" : "Write a stake."));
      odds.say(parsed.error ?? (parsed.odds ? "" : "Write a price."));
      commission.say(taken ? "" : "Write per cent, such as 2.5.");
      exchange.say(exchange.input.value.trim() ? "" : "Name the exchange.");
      reference.say(reference.input.value.trim() ? "" : "Write what the exchange calls it.");
      if (error || !minor || parsed.error || !parsed.odds || !taken ||
        !exchange.input.value.trim() || !reference.input.value.trim()) {
        return "Something is missing or can't be read.";
      }
      body = {
        selection_id: on.input.value,
        stake_minor: minor,
        odds: parsed.odds,
        commission: percent,
        exchange: exchange.input.value.trim(),
        reference: reference.input.value.trim(),
      };
      return "";
    },
    body: () => body,
  };
}
