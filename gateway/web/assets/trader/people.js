// Logging in, the stops that stand, and the staff themselves.

import { explain } from "../request.js";
import { arrange, h, setText, toast } from "../dom.js";
import { timeText } from "../format.js";
import { act, ended, logIn, may, member, read, stopped } from "./desk.js";
import { field, openAction, openLift, openStop } from "./dialog.js";

const SOON_MS = 500;
const LATER_MS = 5_000;
const ROLES = {
  viewer: "Viewer: reads",
  trader: "Trader: prices, stops",
  head_trader: "Head trader: limits, settling",
  admin: "Admin: staff",
};

export class LoginPage {
  constructor(root) {
    const login = field("Log-in", h("input", { name: "login", autocomplete: "username",
      autocapitalize: "none", spellcheck: "false" }));
    const password = field("Password", h("input", { name: "password", type: "password",
      autocomplete: "current-password" }));
    this.notice = h("p", { class: "notice", role: "status", hidden: true });
    this.alert = h("p", { class: "notice bad", role: "alert", hidden: true });
    const button = h("button", { type: "submit", class: "primary" }, "Log in");
    const form = h("form", { class: "login", novalidate: true, "aria-label": "Log in to the desk" },
      h("h1", {}, "Log in to the desk"), this.notice, login.node, password.node, this.alert,
      button);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      this.#say(this.alert, "");
      login.say(login.input.value.trim() ? "" : "Enter your log-in.");
      if (!login.input.value.trim()) return;
      button.disabled = true;
      try {
        await logIn(login.input.value.trim(), password.input.value);
        form.reset();
      } catch (error) {
        this.#say(this.alert, error.code === "bad_credentials"
          ? "The log-in or the password is wrong." : explain(error));
      }
      button.disabled = false;
    });
    root.append(form);
    ended.follow((why) => this.#say(this.notice, why));
    this.first = login.input;
  }

  #say(place, text) {
    setText(place, text);
    place.hidden = !text;
  }
}

export class StopsPage {
  #visible = false;
  #later = 0;
  #cursor = null;

  constructor(root) {
    this.problem = h("p", { class: "notice bad", role: "alert", hidden: true });
    this.list = h("ul", { class: "stops" });
    this.nothing = h("p", { class: "nothing", hidden: true }, "No stop stands.");
    this.source = h("button", { type: "button", class: "small danger",
      onclick: () => this.#stopSource() }, "Stop a source");
    this.more = h("button", { type: "button", class: "more", hidden: true,
      onclick: () => this.load(this.#cursor) }, "Show more");
    root.append(h("div", { class: "bar" }, h("h1", {}, "Stops"), this.source),
      h("p", { class: "soft" }, "What the desk has suspended and not let go yet, newest first."),
      this.problem, this.nothing, this.list, this.more);
    // The list is read from the ledger, which is a moment behind.
    stopped.follow(() => this.#again(SOON_MS));
    // Rows that stay have the buttons of whoever they were made for.
    member.follow(() => this.list.replaceChildren());
  }

  show(visible) {
    this.#visible = visible;
    clearTimeout(this.#later);
    if (visible) this.load();
  }

  /** Others stop things, too. */
  #again(ms) {
    clearTimeout(this.#later);
    if (this.#visible) this.#later = setTimeout(() => this.load(), ms);
  }

  /** The first page again, or the one after `cursor` in addition. */
  async load(cursor = "") {
    clearTimeout(this.#later);
    this.source.hidden = !may("trader");
    try {
      const { items, next_cursor: next } = await read("stops", { cursor });
      if (!this.#visible) return;
      this.problem.hidden = true;
      const kept = new Map([...this.list.children].map((it) => [it.dataset.stop, it]));
      const rows = items.map((it) => kept.get(it.stop_id) ?? this.#row(it));
      arrange(this.list, cursor ? [...new Set([...kept.values(), ...rows])] : rows);
      this.nothing.hidden = this.list.children.length > 0;
      this.#cursor = next;
      this.more.hidden = !next;
    } catch (error) {
      setText(this.problem, explain(error));
      this.problem.hidden = false;
    }
    // Only a first page is read again: nobody's place is lost.
    if (!cursor) this.#again(LATER_MS);
  }

  #row(stop) {
    const what = stop.reach === "everything" ? "Everything" : `${stop.reach} ${stop.target}`;
    const of = `stop-${stop.stop_id}`;
    const lift = h("button", { type: "button", class: "small", "aria-describedby": of,
      onclick: () => openLift(stop) }, "Lift");
    lift.hidden = !may("trader");
    return h("li", { "data-stop": stop.stop_id },
      h("div", {}, h("b", { id: of }, what),
        h("p", { class: "soft" }, `${timeText(stop.ordered_at)} · ` +
          `${stop.by.replace(/^staff\//, "")} · “${stop.reason}”`)),
      lift);
  }

  #stopSource() {
    const source = field("Source", h("input", { maxlength: "100", autocomplete: "off" }),
      "As the board names it, such as feed:uof, its producer feed:uof/3, or staff/kim");
    openAction({
      title: "Stop a source",
      about: "Every market that this source has priced last is suspended.",
      fields: [source.node],
      danger: true,
      action: "Suspend its markets",
      check: () => (source.input.value.trim() ? "" : "Name the source."),
      submit: (reason, key) =>
        act("stops", { reach: "source", target: source.input.value.trim(), reason }, key),
      done: (stop) => {
        toast(`Suspended: ${stop.markets} markets.`, "good");
        stopped.set(stopped.value + 1);
      },
    });
  }
}

export function panic() {
  if (may("trader")) openStop("everything", "", "");
}

export class StaffPage {
  constructor(root) {
    this.problem = h("p", { class: "notice bad", role: "alert", hidden: true });
    this.body = h("tbody", {});
    const column = (text) => h("th", { scope: "col" }, text);
    root.append(
      h("div", { class: "bar" }, h("h1", {}, "Staff"),
        h("button", { type: "button", class: "small", onclick: () => this.#add() },
          "Add a member")),
      this.problem,
      h("div", { class: "scroll" }, h("table", { class: "staff" },
        h("thead", {}, h("tr", {}, column("Log-in"), column("Name"), column("Role"), column("Added"),
          column(""))),
        this.body)));
  }

  async load() {
    if (!may("admin")) return;
    try {
      const { items } = await read("staff");
      this.problem.hidden = true;
      this.body.replaceChildren(...items.map((it) => this.#row(it)));
    } catch (error) {
      setText(this.problem, explain(error));
      this.problem.hidden = false;
    }
  }

  #row(it) {
    const mine = it.login === member.value?.login;
    const of = `member-${it.login}`;
    const button = (text, run) => h("button", { type: "button", class: "small", disabled: mine,
      onclick: run, "aria-describedby": of }, text);
    return h("tr", { "data-login": it.login },
      h("th", { scope: "row", id: of }, it.login), h("td", {}, it.name),
      h("td", {}, it.disabled ? "Disabled" : ROLES[it.role].split(":")[0]),
      h("td", {}, timeText(it.added_at)),
      h("td", { class: "actions" },
        button("Role", () => this.#role(it)),
        button("Password", () => this.#password(it)),
        button(it.disabled ? "Enable" : "Disable", () => this.#switch(it))));
  }

  #soon() {
    setTimeout(() => this.load(), SOON_MS);
  }

  #roles(value) {
    const select = h("select", {},
      ...Object.entries(ROLES).map(([role, text]) => h("option", { value: role }, text)));
    select.value = value;
    return field("Role", select);
  }

  #newPassword() {
    return field("Password",
      h("input", { type: "password", autocomplete: "new-password" }), "10 characters or more");
  }

  #add() {
    const login = field("Log-in", h("input", { autocomplete: "off", autocapitalize: "none" }),
      "Lower case, such as kim.doe");
    const name = field("Full name", h("input", { autocomplete: "off" }));
    const role = this.#roles("trader");
    const password = this.#newPassword();
    openAction({
      title: "Add a member",
      fields: [login.node, name.node, role.node, password.node],
      action: "Add",
      submit: (reason, key) => act("staff", { login: login.input.value.trim(),
        name: name.input.value.trim(), role: role.input.value, password: password.input.value,
        reason }, key),
      done: () => this.#soon(),
    });
  }

  #role(it) {
    const role = this.#roles(it.role);
    openAction({
      title: `Role of ${it.login}`,
      fields: [role.node],
      action: "Change role",
      submit: (reason, key) =>
        act(`staff/${it.login}/role`, { role: role.input.value, reason }, key),
      done: () => this.load(),
    });
  }

  #password(it) {
    const password = this.#newPassword();
    openAction({
      title: `New password of ${it.login}`,
      about: "The member's sessions end.",
      fields: [password.node],
      action: "Set password",
      submit: (reason, key) =>
        act(`staff/${it.login}/password`, { password: password.input.value, reason }, key),
      done: () => this.load(),
    });
  }

  #switch(it) {
    const how = it.disabled ? "enable" : "disable";
    openAction({
      title: `${it.disabled ? "Enable" : "Disable"} ${it.login}`,
      danger: !it.disabled,
      action: it.disabled ? "Enable" : "Disable",
      submit: (reason, key) => act(`staff/${it.login}/${how}`, { reason }, key),
      done: () => this.load(),
    });
  }
}
