// Who did what, and why: the lines of the audit, and the page that lists all that staff did.

import { explain } from "../request.js";
import { h, setText } from "../dom.js";
import { timeText } from "../format.js";
import { read } from "./desk.js";

/** "PricesChanged" is "Prices changed". */
const inWords = (name) =>
  name.replace(/(?!^)([A-Z])/g, (letter) => ` ${letter.toLowerCase()}`);

const who = (by) => by.replace(/^staff\//, "") || "the player";

export function auditRows(items) {
  return items.map((it) => {
    const full = h("pre", { hidden: true });
    const more = h("button", { type: "button", class: "link", "aria-expanded": "false",
      onclick: () => toggle(it, more, full) }, "Details");
    return h("li", {},
      h("p", {}, h("b", {}, it.events.map(inWords).join(", ")), ` · ${it.about}`),
      h("p", { class: "soft" }, `${timeText(it.at)} · ${who(it.by)}`,
        it.reason ? ` · “${it.reason}”` : "", " ", more),
      full);
  });
}

async function toggle(line, button, full) {
  full.hidden = !full.hidden;
  button.setAttribute("aria-expanded", String(!full.hidden));
  if (full.hidden || full.textContent) return;
  try {
    const entry = await read(`audit/${line.entry_id}`);
    setText(full, JSON.stringify(entry.events, null, 1));
  } catch (error) {
    setText(full, explain(error));
  }
}

export class AuditPage {
  #cursor = null;

  constructor(root) {
    this.problem = h("p", { class: "notice bad", role: "alert", hidden: true });
    this.list = h("ol", { class: "audit" });
    this.nothing = h("p", { class: "nothing", hidden: true }, "Nothing was done yet.");
    this.more = h("button", { type: "button", class: "more", hidden: true,
      onclick: () => this.load(this.#cursor) }, "Show more");
    root.append(h("div", { class: "bar" }, h("h1", {}, "Audit")),
      h("p", { class: "soft" }, "All that staff did, newest first."),
      this.problem, this.nothing, this.list, this.more);
  }

  async load(cursor = "") {
    try {
      const page = await read("audit", { cursor, limit: "50" });
      this.problem.hidden = true;
      if (!cursor) this.list.replaceChildren();
      this.list.append(...auditRows(page.items));
      this.#cursor = page.next_cursor;
      this.more.hidden = !page.next_cursor;
      this.nothing.hidden = this.list.children.length > 0;
    } catch (error) {
      setText(this.problem, explain(error));
      this.problem.hidden = false;
    }
  }
}
