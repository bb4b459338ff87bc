// Who is here: the corner of the header, and the dialogs to register and to log in.

import { attempt, explain, get, Intent, post, Problem } from "./api.js";
import { h, icon, setText, toast } from "./dom.js";
import { money } from "./format.js";
import { logOutHere, player, session, sessionEnded, takeWallet, wallet } from "./store.js";

// Refusals that are about one field of the form. Others stand above its button. (What the server
// finds wrong with a field itself it names; each field has its own words for that.)
const FIELD_OF = { email_taken: "email", under_age: "birth_date" };

export class Account {
  #login;
  #register;

  constructor(corner) {
    this.#login = loginDialog(this);
    this.#register = registerDialog(this);
    document.body.append(this.#login.node, this.#register.node);
    this.#buildCorner(corner);
    session.follow((now) => {
      this.outside.hidden = Boolean(now);
      this.inside.hidden = !now;
      if (now) this.load();
      else if (sessionEnded.value) this.openLogin(sessionEnded.value);
    });
  }

  #buildCorner(corner) {
    this.outside = h("div", { class: "corner" },
      h("button", { type: "button", class: "ghost", id: "log-in",
        onclick: () => this.openLogin() }, "Log in"),
      h("button", { type: "button", class: "gold", id: "register",
        onclick: () => this.openRegister() }, "Register"));
    const cash = h("strong", { class: "figure", id: "balance" });
    const held = h("span", { class: "held", id: "held" });
    const name = h("span", { class: "menu-name" });
    const menu = h("details", { class: "menu" },
      h("summary", { "aria-label": "Account menu" },
        h("span", { class: "initial", "aria-hidden": "true" })),
      h("div", { class: "menu-body" }, name,
        h("a", { href: "#/account" }, "Balance and statement"),
        h("a", { href: "#/bets" }, "My bets"),
        h("button", { type: "button", id: "log-out", onclick: () => logOut() }, "Log out")));
    menu.addEventListener("click", (event) => {
      if (event.target.closest("a, button")) menu.open = false;
    });
    menu.addEventListener("keydown", (event) => {
      if (event.key === "Escape") menu.open = false;
    });
    document.addEventListener("click", (event) => {
      if (!menu.contains(event.target)) menu.open = false;
    });
    this.inside = h("div", { class: "corner", hidden: true },
      h("a", { class: "purse", href: "#/account" },
        h("span", { class: "hush" }, "Balance"),
        h("span", { "aria-live": "polite" }, cash), held),
      menu);
    corner.append(this.outside, this.inside);
    wallet.follow((purse) => {
      setText(cash, purse ? money(purse.cash_minor, purse) : "…");
      setText(held, purse?.held_minor ? `${money(purse.held_minor, purse)} in bets` : "");
    });
    player.follow((who) => {
      setText(name, who?.name ?? "");
      setText(menu.querySelector(".initial"), (who?.name ?? "?").trim().charAt(0).toUpperCase());
    });
  }

  /** Read who the player is and what they have. */
  async load() {
    try {
      const [who, purse] = await Promise.all([get("/v1/me"), get("/v1/wallet")]);
      if (who.player_id !== session.value?.player_id) return;
      player.set(who);
      takeWallet(purse);
    } catch (error) {
      if (session.value) toast(explain(error), "bad");
    }
  }

  openLogin(why = "") {
    this.#register.node.close();
    this.#login.open(why);
  }

  openRegister() {
    this.#login.node.close();
    this.#register.open();
  }

  async logIn(email, password) {
    // No key: making a second session does no harm.
    const made = await attempt("POST", "/v1/sessions", { body: { email, password } });
    player.set(null);
    wallet.set(null);
    session.set(made);
    sessionEnded.set("");
    this.#login.node.close();
    this.#register.node.close();
  }
}

/** A session that the server can't be told to end is forgotten all the same; it expires there. */
async function logOut() {
  const ending = attempt("DELETE", "/v1/sessions/current").catch(() => {});
  logOutHere("");
  toast("You are logged out.");
  await ending;
}

function loginDialog(account) {
  const email = field("email", "E-mail", {
    type: "email", autocomplete: "username", wrong: "Enter an address such as ann@example.com.",
  });
  const password = field("password", "Password", {
    type: "password", autocomplete: "current-password", wrong: "Use 128 characters or fewer.",
  });
  return dialog({
    title: "Log in",
    fields: [email, password],
    action: "Log in",
    other: ["New here?", "Register", () => account.openRegister()],
    check: () => {
      email.require("Enter your e-mail address.");
      password.require("Enter your password.");
    },
    submit: async (values) => account.logIn(values.email, values.password),
  });
}

function registerDialog(account) {
  const intent = new Intent();
  const name = field("name", "Full name", {
    type: "text", autocomplete: "name", wrong: "Use 1 to 100 characters.",
  });
  const birthDate = field("birth_date", "Date of birth", {
    type: "date", autocomplete: "bday", wrong: "Enter a date.",
  });
  const email = field("email", "E-mail", {
    type: "email", autocomplete: "email", wrong: "Enter an address such as ann@example.com.",
  });
  const password = field("password", "Password", {
    type: "password", autocomplete: "new-password", hint: "10 characters or more",
    wrong: "Use 10 to 128 characters.",
  });
  return dialog({
    title: "Register",
    fields: [name, birthDate, email, password],
    action: "Create account",
    other: ["Have an account?", "Log in", () => account.openLogin()],
    check: () => {
      name.require("Enter your name.");
      birthDate.require("Enter your date of birth.");
      email.require("Enter your e-mail address.");
      const { length } = password.input.value;
      if (length < 10) password.say("Use 10 characters or more.");
      else if (length > 128) password.say("Use 128 characters or fewer.");
    },
    submit: async (values) => {
      try {
        await post("/v1/players", values, intent.keyFor(values));
      } catch (error) {
        if (error instanceof Problem && !error.passing) intent.answered();
        throw error;
      }
      await account.logIn(values.email, values.password);
      toast(`Welcome, ${values.name}.`, "good");
    },
  });
}

/** A labelled input with its message beneath; `wrong` is said when the server can't take it. */
function field(name, label, { hint = "", wrong, ...attributes }) {
  const id = `${name}-${Math.random().toString(36).slice(2, 8)}`;
  const input = h("input", { id, name, "aria-describedby": `${id}-says`, ...attributes });
  const says = h("p", { class: "says", id: `${id}-says` }, hint);
  const node = h("div", { class: "field" }, h("label", { for: id }, label), input, says);
  const made = {
    name,
    input,
    node,
    isWrong: false,
    say(text) {
      made.isWrong = Boolean(text);
      setText(says, text || hint);
      node.classList.toggle("is-wrong", made.isWrong);
      input.setAttribute("aria-invalid", String(made.isWrong));
    },
    refuse(error) {
      made.say(error.field ? wrong : explain(error));
      input.focus();
    },
    require(text) {
      if (!input.value.trim()) made.say(text);
    },
  };
  return made;
}

/** A dialog with a form, which puts the server's problems where they belong. */
function dialog({ title, fields, action, other, check, submit }) {
  const heading = h("h2", {}, title);
  const notice = h("p", { class: "notice", hidden: true, role: "status" });
  const alert = h("p", { class: "notice bad", role: "alert", hidden: true });
  const button = h("button", { type: "submit", class: "primary" }, action);
  const [question, answer, elsewhere] = other;
  const form = h("form", { novalidate: true, method: "dialog" },
    heading, notice, ...fields.map((it) => it.node), alert, button,
    h("p", { class: "soft other" }, `${question} `,
      h("button", { type: "button", class: "link", onclick: elsewhere }, answer)));
  const node = h("dialog", { class: "dialog", "aria-label": title },
    h("button", { type: "button", class: "bare dialog-close", "aria-label": "Close",
      onclick: () => node.close() }, icon("close")),
    form);

  const say = (place, text) => {
    setText(place, text);
    place.hidden = !text;
  };
  const byName = new Map(fields.map((it) => [it.name, it]));

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    say(alert, "");
    for (const it of fields) it.say("");
    check();
    const wrong = fields.find((it) => it.isWrong);
    if (wrong) {
      wrong.input.focus();
      return;
    }
    button.disabled = true;
    try {
      await submit(Object.fromEntries(fields.map((it) => [it.name, it.input.value])));
      form.reset();
    } catch (error) {
      const at = byName.get(error.field ?? FIELD_OF[error.code]);
      if (at) at.refuse(error);
      else say(alert, explain(error));
    }
    button.disabled = false;
  });

  return {
    node,
    open(why = "") {
      say(notice, why);
      say(alert, "");
      for (const it of fields) it.say("");
      if (!node.open) node.showModal();
      fields[0].input.focus();
    },
  };
}
