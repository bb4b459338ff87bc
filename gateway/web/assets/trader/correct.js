// What takes something back on a market: its result, or the bets of a certain time. All of it can
// itself be undone.

import { h, toast } from "../dom.js";
import { act } from "./desk.js";
import { field, openAction } from "./dialog.js";

export function openRollBack(market, done) {
  const cancelled = market.status === "cancelled";
  openAction({
    title: `Take back the ${cancelled ? "cancellation" : "result"} of ${market.name}`,
    about: "Bets that were settled by it are open again, and what they were paid is taken back; " +
      "what is spent by then is owed. The market is suspended until it is opened or settled anew.",
    danger: true,
    action: "Take it back",
    submit: (reason, key) => act(`markets/${market.market_id}/result/rollback`, { reason }, key),
    done: () => {
      toast(`${market.name} has no result any more.`, "good");
      done?.();
    },
  });
}

/** Void the bets that were accepted in a certain time, such as after a goal nobody had seen. */
export function openVoid(market, done) {
  const time = (label, hint) => field(label,
    h("input", { type: "datetime-local", step: "0.001" }), hint);
  const from = time("Accepted from", "By this computer's time zone; empty: from the first bet on");
  const until = time("until", "Included; empty: until it is undone, and no bets are taken");
  let times = {};
  openAction({
    title: `Void bets on ${market.name}`,
    about: "Bets that were accepted in that time are void, whether they are open or settled, " +
      "and stay so whatever the result.",
    fields: [h("div", { class: "fields" }, from.node, until.node)],
    danger: true,
    action: "Void these bets",
    check: () => {
      times = {};
      for (const [name, one] of [["from", from], ["until", until]]) {
        one.say("");
        // A time that is half typed in reads as empty.
        if (one.input.validity.badInput) {
          one.say("Write the whole time, or leave it empty.");
          return "A time can't be read.";
        }
        if (one.input.value) times[name] = new Date(one.input.value).toISOString();
      }
      if (!times.from && !times.until) return "To void every bet, settle the market as cancelled.";
      return times.from && times.until && times.from > times.until
        ? "That time ends before it begins." : "";
    },
    submit: (reason, key) => act(`markets/${market.market_id}/voids`, { ...times, reason }, key),
    done: () => {
      toast(`Bets on ${market.name} are void: ${timesText(times)}.`, "good");
      done?.();
    },
  });
}

export function openUndoVoid(market, done) {
  const which = h("select", {}, ...market.voids.map((it, at) =>
    h("option", { value: String(at) }, timesText(it))));
  openAction({
    title: `Undo a void on ${market.name}`,
    about: "Its bets are open again, or settled by the result.",
    fields: [field("Bets that were accepted", which).node],
    action: "Undo it",
    submit: (reason, key) => act(`markets/${market.market_id}/voids/rollback`,
      { ...market.voids[Number(which.value)], reason }, key),
    done: () => {
      toast(`Bets on ${market.name} count again.`, "good");
      done?.();
    },
  });
}

/** To the second: two times may be close. */
function timeText(iso) {
  return new Date(iso).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" });
}

function timesText({ from, until }) {
  if (!until) return `from ${timeText(from)} on`;
  return from ? `from ${timeText(from)} to ${timeText(until)}` : `until ${timeText(until)}`;
}
