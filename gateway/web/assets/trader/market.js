// What is done to one market: prices by hand, status and limits.

import { h, toast } from "../dom.js";
import { act, may } from "./desk.js";
import { field, openAction } from "./dialog.js";
import { cashField, parseCash, parsePrice, priceField } from "./figures.js";

const MONEY_LIMITS = {
  min_stake_minor: "Smallest stake",
  max_stake_minor: "Largest stake",
  max_liability_minor: "Liability of a selection by singles",
  max_slip_liability_minor: "Liability of a selection by bets of several lines",
  max_market_liability_minor: "Worst case of the market (0: no limit)",
  refer_above_minor: "Stakes that a trader is asked about, above (0: none)",
  refer_up_to_minor: "and up to; those above are refused (0: any)",
};
const TIME_LIMITS = {
  reoffer_ms: "A smaller stake is offered for, in seconds (0: not at all)",
  max_age_ms: "Prices too old before play, in seconds (0: never)",
  max_age_in_play_ms: "Prices too old in play, in seconds (0: never)",
};

/** Move prices by hand. Only those that were changed are sent. */
export function openPrices(market) {
  if (!may("trader")) return;
  const rows = market.selections.filter((it) => !it.withdrawn).map((selection) => ({
    selection,
    field: field(selection.name, h("input", { inputmode: "decimal", autocomplete: "off",
      value: priceField(selection.odds), "data-selection": selection.selection_id })),
  }));
  let odds = {};
  openAction({
    title: `Prices of ${market.name}`,
    about: "0 takes a price off the board. The source may move them again.",
    fields: [h("div", { class: "fields" }, ...rows.map((it) => it.field.node))],
    action: "Move prices",
    check: () => {
      odds = {};
      for (const { selection, field: one } of rows) {
        one.say("");
        const parsed = parsePrice(one.input.value);
        if (parsed.error) {
          one.say(parsed.error);
          return "A price can't be read.";
        }
        if (parsed.odds !== selection.odds) odds[selection.selection_id] = parsed.odds;
      }
      return Object.keys(odds).length ? "" : "No price is another one than before.";
    },
    submit: (reason, key) => act(`markets/${market.market_id}/prices`, { odds, reason }, key),
    done: () => toast(`Prices of ${market.name} are moved.`, "good"),
  });
}

export function openStatus(market, status, done) {
  const verb = { open: "Open", suspended: "Suspend", closed: "Close" }[status];
  openAction({
    title: `${verb} ${market.name}`,
    about: status === "open" && Object.keys(market.causes).length
      ? "A stop or another cause stands: it takes bets when the last of them is gone." : "",
    action: verb,
    submit: (reason, key) => act(`markets/${market.market_id}/status`, { status, reason }, key),
    done,
  });
}

export function openLimits(market, limits, done) {
  const money = Object.entries(MONEY_LIMITS).map(([name, label]) => ({
    name,
    field: field(label, h("input", { inputmode: "decimal", autocomplete: "off",
      value: cashField(limits[name]) })),
  }));
  const times = Object.entries(TIME_LIMITS).map(([name, label]) => ({
    name,
    field: field(label, h("input", { inputmode: "decimal", autocomplete: "off",
      value: String(limits[name] / 1000) })),
  }));
  let changed = {};
  openAction({
    title: `Limits of ${market.name}`,
    fields: [h("div", { class: "fields" }, ...[...money, ...times].map((it) => it.field.node))],
    action: "Change limits",
    check: () => {
      changed = {};
      for (const { name, field: one } of money) {
        one.say("");
        const { minor, error } = parseCash(one.input.value);
        if (error) {
          one.say(error);
          return "An amount can't be read.";
        }
        if (minor !== limits[name]) changed[name] = minor;
      }
      for (const { name, field: one } of times) {
        one.say("");
        if (!/^\d{1,6}(\.\d{1,3})?$/.test(one.input.value.trim())) {
          one.say("Write seconds, such as 30.");
          return "A time can't be read.";
        }
        const ms = Math.round(Number(one.input.value) * 1000);
        if (ms !== limits[name]) changed[name] = ms;
      }
      return Object.keys(changed).length ? "" : "No limit is another one than before.";
    },
    submit: (reason, key) =>
      act(`markets/${market.market_id}/limits`, { ...changed, reason }, key),
    done: () => {
      toast(`Limits of ${market.name} are changed.`, "good");
      done?.();
    },
  });
}
