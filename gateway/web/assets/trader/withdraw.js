// A runner is withdrawn: bets on it are decided at once, and where the market's terms say so,
// something is taken off the others.

import { h, toast } from "../dom.js";
import { act } from "./desk.js";
import { field, openAction } from "./dialog.js";
import { ONE, parsePercent, parsePrice, price } from "./figures.js";

export function openWithdraw(market, done) {
  const terms = market.terms ?? {};
  const runners = new Map(market.selections.filter((it) => !it.withdrawn)
    .map((it) => [it.selection_id, it]));
  const which = field("Runner", h("select", {},
    ...[...runners].map(([value, it]) => h("option", { value }, it.name))));
  const takes = terms.rule_4 ? lastPrice() : terms.reduction_factors ? reductionFactor() : null;
  const runner = () => runners.get(which.input.value);
  which.input.addEventListener("change", () => takes?.show(runner()));
  takes?.show(runner());
  openAction({
    title: `Withdraw a runner of ${market.name}`,
    about: [
      terms.ante_post ? "Bets on it lose, as it is ante-post; the others run on."
        : "Bets on it are void, and the others run on.",
      takes ? "No bets are taken until every other price was said again, or somebody opens it." : "",
      "This can't be taken back.",
    ].filter(Boolean).join(" "),
    fields: [h("div", { class: "fields" }, which.node, takes?.field.node),
      takes && h("p", { class: "soft" }, takes.text)],
    danger: true,
    action: "Withdraw",
    check: () => takes?.check() ?? "",
    submit: (reason, key) => act(`markets/${market.market_id}/withdrawals`,
      { selection_id: which.input.value, ...takes?.body(), reason }, key),
    done: () => {
      toast(`${runner().name} is withdrawn.`, "good");
      done?.();
    },
  });
}

/** By Rule 4 it counts what its price was: the one of now, where none is written. */
function lastPrice() {
  const last = field("Price that it had", h("input", { inputmode: "decimal", autocomplete: "off" }),
    "Empty: its price now");
  let body = {};
  return {
    field: last,
    text: "Rule 4 takes a share off what the others win at prices from before: by its table, the "
      + "more the shorter this price is.",
    show: ({ odds }) => {
      last.input.placeholder = odds ? price(odds) : "None now: nothing is taken off";
    },
    check() {
      last.say("");
      body = {};
      if (!last.input.value.trim()) return "";
      const { odds, error } = parsePrice(last.input.value);
      if (odds) body = { odds };
      else last.say(error ?? "Write a price above 1, or leave it empty.");
      return odds ? "" : "A price can't be read.";
    },
    body: () => body,
  };
}

/** Every runner has a factor of its own, which comes with the withdrawal. */
function reductionFactor() {
  const factor = field("Reduction factor, per cent",
    h("input", { inputmode: "decimal", autocomplete: "off" }), "Such as 25.3; 0 takes nothing");
  let reduction = null;
  return {
    field: factor,
    text: "Prices of the others from before are cut by it.",
    show: () => {},
    check() {
      reduction = parsePercent(factor.input.value);
      const right = reduction !== null && reduction < ONE;
      factor.say(right ? "" : "Write per cent below 100, such as 25.3.");
      return right ? "" : "A factor can't be read.";
    },
    body: () => ({ reduction }),
  };
}
