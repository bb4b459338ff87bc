// One dialog for everything that is done: what it is, what it needs, why it is done, and a button
// that says what it does. The browser's own <dialog> keeps the focus and hears Escape.

import { explain, newKey, Problem } from "../request.js";
import { h, icon, setText, toast } from "../dom.js";
import { act, stopped } from "./desk.js";

const USUAL = [
  "Team news", "Price out of line", "Feed in doubt", "Liability", "Match delayed",
  "Result confirmed", "Result corrected", "All clear",
];
let last = 0;

/** A labelled field. `input` is any form control. */
export function field(label, input, hint = "") {
  last += 1;
  input.id ||= `field-${last}`;
  const says = h("p", { class: "says", id: `${input.id}-says` }, hint);
  input.setAttribute("aria-describedby", says.id);
  const node = h("div", { class: "field" }, h("label", { for: input.id }, label), input, says);
  return {
    node,
    input,
    say(text) {
      setText(says, text || hint);
      node.classList.toggle("is-wrong", Boolean(text));
      input.setAttribute("aria-invalid", String(Boolean(text)));
      if (text) input.focus();
    },
  };
}

/**
 * Ask for what an action needs, and do it.
 *
 * `fields`: nodes above the reason. `check()` says what is wrong, or "". `submit(reason, key)`
 * does it; the key stays the same until it is answered, or something else is wanted: by the form,
 * and by what `beside()` says belongs to it. Another reason is nothing else: the first one stays, for
 * it may have been done with that. `done(answer)` is told of it. `ready()` says whether there is
 * anything yet to be done.
 */
export function openAction({ title, about = "", fields = [], danger = false, action, check,
  submit, done, reason = true, ready = () => true, beside = () => "" }) {
  const why = h("input", { name: "reason", list: "reasons", maxlength: "200", autocomplete: "off",
    required: true });
  const whyField = field("Reason", why, "For the audit, 3 characters or more");
  const alert = h("p", { class: "notice bad", role: "alert", hidden: true });
  const button = h("button", { type: "submit", class: danger ? "primary danger" : "primary" },
    action);
  const form = h("form", { novalidate: true, method: "dialog" },
    h("h2", {}, title), about && h("p", { class: "soft" }, about),
    ...fields, reason ? whyField.node : null,
    h("datalist", { id: "reasons" }, ...USUAL.map((it) => h("option", { value: it }))),
    alert, button);
  const node = h("dialog", { class: "dialog desk-dialog", "aria-label": title },
    h("button", { type: "button", class: "bare dialog-close", "aria-label": "Close",
      onclick: () => node.close() }, icon("close")),
    form);
  const say = (text) => {
    setText(alert, text);
    alert.hidden = !text;
  };
  const wanted = () => JSON.stringify([beside(), ...[...form.elements].filter((it) => it !== why)
    .map((it) => it.type === "checkbox" || it.type === "radio" ? it.checked : it.value.trim())]);
  let key = "";
  let keyOf = "";
  let keyWhy = "";
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    say("");
    whyField.say("");
    const wrong = check?.();
    if (wrong) {
      say(wrong);
      return;
    }
    const given = why.value.trim();
    if (reason && given.length < 3) {
      whyField.say("Say why, in 3 characters or more.");
      return;
    }
    button.disabled = true;
    // Whose answer was lost is asked for again, and done once; but not in place of something else.
    if (!key || keyOf !== wanted()) [key, keyOf, keyWhy] = [newKey(), wanted(), given];
    try {
      const answer = await submit(keyWhy, key);
      node.close();
      done?.(answer);
    } catch (error) {
      // A no is an answer: what is asked next is something new.
      if (error instanceof Problem && !error.passing) key = "";
      say(explain(error));
    }
    button.disabled = !ready();
  });
  node.addEventListener("close", () => node.remove());
  document.body.append(node);
  node.showModal();
  (form.querySelector("input, select, textarea") ?? button).focus();
  return { node, say, button, close: () => node.close() };
}

/** Stop a market, an event, a source or everything. */
export function openStop(reach, target, name) {
  const everything = reach === "everything";
  openAction({
    title: everything ? "Stop everything" : `Stop ${name}`,
    about: everything
      ? "Every market that takes bets is suspended at once, until this stop is lifted."
      : "It takes no bets until this stop is lifted.",
    danger: true,
    action: everything ? "Suspend every market" : "Suspend",
    submit: (reason, key) =>
      act("stops", { reach, ...(everything ? {} : { target }), reason }, key),
    done: (stop) => {
      toast(`Suspended: ${stop.markets} ${stop.markets === 1 ? "market" : "markets"}.`, "good");
      stopped.set(stopped.value + 1);
    },
  });
}

export function openLift(stop) {
  openAction({
    title: "Lift the stop",
    about: "Only what this stop has suspended takes bets again. " +
      "What is suspended for another cause stays so.",
    action: "Lift it",
    submit: (reason, key) => act(`stops/${stop.stop_id}/lift`, { reason }, key),
    done: (lifted) => {
      toast(`Let go: ${lifted.markets} ${lifted.markets === 1 ? "market" : "markets"}.`, "good");
      stopped.set(stopped.value + 1);
    },
  });
}
