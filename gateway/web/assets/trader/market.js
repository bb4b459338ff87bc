// What is done to one market: prices held by hand and given back, status and limits.

import { Problem } from "../request.js";
import { h, toast } from "../dom.js";
import { timeText } from "../format.js";
import { act, may } from "./desk.js";
import { field, openAction } from "./dialog.js";
import { cashField, parseCash, parsePrice, price, priceField } from "./figures.js";

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

const MAX_HAND_S = 86_400;

const gone = (market) => market.selections.filter((it) => it.withdrawn).length;

/** "Held by kim.doe until 14:05; feed 2.5". */
export function heldText({ by, until, feed_odds }) {
  const who = by.replace(/^staff\//, "");
  return `Held by ${who}${until ? ` until ${timeText(until)}` : ""}; feed ${price(feed_odds)}`;
}

/** Who prices it: "feed:uof, by hand staff/kim.doe". */
export function sourceText(market) {
  const hands = new Set(market.selections.filter((it) => it.hand).map((it) => it.hand.by));
  return (market.source || "–") + (hands.size ? `, by hand ${[...hands].join(", ")}` : "");
}

/** Hold prices by hand. Those that were changed are sent, or all of them where that is ticked. */
export function openPrices(market) {
  if (!may("trader")) return;
  const rows = market.selections.filter((it) => !it.withdrawn).map((selection) => ({
    selection,
    field: field(selection.name, h("input", { inputmode: "decimal", autocomplete: "off",
      value: priceField(selection.odds), "data-selection": selection.selection_id }),
    selection.hand ? heldText(selection.hand) : ""),
  }));
  const all = h("input", { type: "checkbox" });
  const limit = field("For how long, in seconds",
    h("input", { inputmode: "numeric", autocomplete: "off" }), "Empty: until they are given back");
  let odds = {};
  let seconds = 0;
  openAction({
    title: `Prices of ${market.name}`,
    about: "What the feed says of them is not shown while they are held. "
      + "0 takes a price off the board.",
    fields: [h("div", { class: "fields" }, ...rows.map((it) => it.field.node)),
      h("label", { class: "check" }, all, " Hold those that are not changed, too"), limit.node],
    action: "Hold prices",
    check: () => {
      limit.say("");
      const given = limit.input.value.trim();
      if (given && !(/^\d{1,5}$/.test(given) && given > 0 && given <= MAX_HAND_S)) {
        limit.say(`Write whole seconds, at most ${MAX_HAND_S}.`);
        return "A time can't be read.";
      }
      seconds = Number(given);
      odds = {};
      for (const { selection, field: one } of rows) {
        one.say("");
        const parsed = parsePrice(one.input.value);
        if (parsed.error) {
          one.say(parsed.error);
          return "A price can't be read.";
        }
        if (all.checked || parsed.odds !== selection.odds) {
          odds[selection.selection_id] = parsed.odds;
        }
      }
      return Object.keys(odds).length ? "" : "No price is another one than before.";
    },
    submit: (reason, key) => act(`markets/${market.market_id}/prices`,
      { odds, ...(seconds && { for_s: seconds }), reason }, key),
    done: () => toast(`Prices of ${market.name} are held.`, "good"),
  });
}

/** Give prices back to the feed: all that are held, but for those that are unticked. */
export function openGiveBack(market) {
  if (!may("trader")) return;
  const held = market.selections.filter((it) => it.hand);
  if (!held.length) {
    toast(`No price of ${market.name} is held.`);
    return;
  }
  const rows = held.map((selection) => ({
    selection,
    tick: h("input", { type: "checkbox", checked: true }),
  }));
  let names = [];
  openAction({
    title: `Give back prices of ${market.name}`,
    about: "The feed's last prices count again. Where they are too old, "
      + "no bet is taken until it speaks.",
    fields: [h("div", { class: "fields" }, ...rows.map(({ selection, tick }) =>
      h("label", { class: "check" }, tick, ` ${selection.name} ${price(selection.odds)}. `,
        heldText(selection.hand))))],
    action: "Give back",
    check: () => {
      names = rows.filter((it) => it.tick.checked).map((it) => it.selection.selection_id);
      return names.length ? "" : "Tick what is to be given back.";
    },
    submit: (reason, key) => act(`markets/${market.market_id}/prices/give-back`,
      { selection_ids: names, reason }, key),
    done: () => toast(`Prices of ${market.name} are the feed's again.`, "good"),
  });
}

/** `live()`: the market as it is by then. What a withdrawal does is only said at the beginning. */
export function openStatus(market, status, live) {
  const verb = { open: "Open", suspended: "Suspend", closed: "Close" }[status];
  const { withdrawal, ...others } = market.causes;
  const about = [
    withdrawal ? "A runner was withdrawn: prices from before that can be bet at again, uncut." : "",
    Object.keys(others).length
      ? "A stop or another cause stands: it takes bets when the last of them is gone." : "",
  ];
  openAction({
    title: `${verb} ${market.name}`,
    about: status === "open" ? about.filter(Boolean).join(" ") : "",
    action: verb,
    check: () => status === "open" && gone(live()) > gone(market)
      ? "A runner was withdrawn meanwhile: close this and look again." : "",
    submit: (reason, key) => act(`markets/${market.market_id}/status`, { status, reason }, key),
  });
}

/** Change limits as they are now. Where somebody else has changed them since, theirs are shown. */
export function openLimits(market, limits, done) {
  const money = Object.entries(MONEY_LIMITS).map(([name, label]) => ({
    name,
    field: field(label, h("input", { inputmode: "decimal", autocomplete: "off",
      value: cashField(limits[name]) })),
  }));
  const secondsField = (ms) => String(ms / 1000);
  const times = Object.entries(TIME_LIMITS).map(([name, label]) => ({
    name,
    field: field(label, h("input", { inputmode: "decimal", autocomplete: "off",
      value: secondsField(limits[name]) })),
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
    submit: async (reason, key) => {
      try {
        await act(`markets/${market.market_id}/limits`,
          { ...changed, version: limits.version, reason }, key);
      } catch (error) {
        if (error instanceof Problem && error.code === "version_conflict") {
          limits = { ...limits, ...error.document };
          for (const { name, field: one } of money) one.input.value = cashField(limits[name]);
          for (const { name, field: one } of times) one.input.value = secondsField(limits[name]);
          done?.();
        }
        throw error;
      }
    },
    done: () => {
      toast(`Limits of ${market.name} are changed.`, "good");
      done?.();
    },
  });
}
