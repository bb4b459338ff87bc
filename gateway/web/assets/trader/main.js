// The trader's page: makes the parts, tells them of each other, shows the view that the address
// names, and hears the keyboard.

import { explain } from "../request.js";
import { h, icon, setText, toast } from "../dom.js";
import { words } from "../format.js";
import { AuditPage } from "./audit.js";
import { Board } from "./board.js";
import { arrive, leave, line, logOut, may, member } from "./desk.js";
import { openStop } from "./dialog.js";
import { EventPage } from "./event.js";
import { openGiveBack, openPrices } from "./market.js";
import { LoginPage, panic, StaffPage, StopsPage } from "./people.js";
import { ReferralsPage } from "./referrals.js";
import { RiskPage } from "./risk.js";
import { DeskLine } from "./stream.js";

const STALE_MS = 3_000;
const TICK_MS = 1_000;
const PAGES = ["login", "board", "event", "referrals", "risk", "stops", "audit", "staff"];
const at = (id) => document.getElementById(id);

const login = new LoginPage(at("page-login"));
const stops = new StopsPage(at("page-stops"));
const risk = new RiskPage(at("page-risk"));
const audit = new AuditPage(at("page-audit"));
const staff = new StaffPage(at("page-staff"));
const referrals = new ReferralsPage(at("page-referrals"), {
  told: (count) => {
    at("referred").hidden = !count;
    setText(at("referred").firstElementChild, String(count));
  },
});
let stream;
const board = new Board(at("page-board"), {
  watch: (fixtureIds) => currentPage().page === "board" && stream.watch(fixtureIds),
});
const event = new EventPage(at("page-event"), {
  watch: (fixtureIds) => stream.watch(fixtureIds, true),
});
stream = new DeskLine({
  told: (fixture) => (currentPage().page === "event" ? event : board).told(fixture),
  referred: (told) => referrals.take(told),
  // What happened while the line was down is read again.
  back: () => {
    if (currentPage().page === "event") event.load();
  },
});

// Which page

/** The parts of the address, as they were meant where they can be read. */
function parts() {
  const raw = location.hash.split("/");
  try {
    return raw.map(decodeURIComponent);
  } catch {
    return raw;
  }
}

function currentPage() {
  if (!member.value) return { page: "login" };
  const [, page = "", ...rest] = parts();
  if (page === "event") return { page, fixtureId: rest[0] ?? "", marketKey: rest[1] ?? "" };
  if (page === "risk") return { page, playerId: rest[0] ?? "" };
  return { page: PAGES.includes(page) && page !== "login" ? page : "board" };
}

function showPage() {
  const { page, fixtureId = "", marketKey = "", playerId } = currentPage();
  for (const name of PAGES) at(`page-${name}`).hidden = name !== page;
  for (const link of document.querySelectorAll("#nav a")) {
    if (link.dataset.page === page) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  at("nav").hidden = !member.value;
  document.querySelector('#nav a[data-page="staff"]').hidden = !may("admin");
  board.show(page === "board");
  event.show(page === "event" ? fixtureId : "", marketKey);
  referrals.show(page === "referrals");
  risk.show(page === "risk", playerId);
  stops.show(page === "stops");
  if (page === "audit") audit.load();
  if (page === "staff") staff.load();
  if (page === "login") login.first.focus();
  if (page !== "board" && page !== "event") stream.watch([]);
}

/** What gets the focus when the page has changed, if not the page itself. */
let next = null;

addEventListener("hashchange", () => {
  showPage();
  scrollTo(0, 0);
  (next ?? at("main")).focus({ preventScroll: true });
  next = null;
});
at("skip").addEventListener("click", (event) => {
  // Not by the address, which names the page.
  event.preventDefault();
  at("main").focus();
});

// Who is here

const name = h("span", { class: "menu-name" });
const stopAll = h("button", { type: "button", class: "panic", id: "panic",
  "aria-keyshortcuts": "!", onclick: () => panic() }, icon("lock"), "Stop everything");
const keys = h("button", { type: "button", class: "ghost", id: "keys", "aria-keyshortcuts": "?",
  onclick: () => openKeys() }, "Keys");
const out = h("button", { type: "button", class: "ghost", id: "log-out",
  onclick: () => logOut() }, "Log out");
const corner = h("div", { class: "corner" }, stopAll, name, keys, out);
at("who").append(corner);

member.follow((now) => {
  corner.hidden = !now;
  setText(name, now ? `${now.login || now.name}, ${words(now.role)}` : "");
  stopAll.hidden = !may("trader");
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  showPage();
});

// The line

let staleTimer = 0;
line.follow((state) => {
  at("connection").dataset.state = state;
  at("connection").hidden = !member.value;
  const texts = { connecting: "Connecting", live: "Live", lost: "Reconnecting" };
  setText(at("connection").lastElementChild, texts[state]);
  clearTimeout(staleTimer);
  if (state !== "lost") at("stale").hidden = true;
  // A blink is not worth a warning.
  else staleTimer = setTimeout(() => (at("stale").hidden = false), STALE_MS);
});

// The keyboard

const here = () => ({ event, referrals })[currentPage().page] ?? board;
const withMarket = (run) => {
  const market = here().focused();
  if (market) run(market);
  else toast("Choose a market first, with J and K.");
};
const KEYS = {
  j: ["J", "Next market", () => here().move(1)],
  k: ["K", "Market before", () => here().move(-1)],
  p: ["P", "Hold prices of the chosen market by hand", () => withMarket(openPrices)],
  g: ["G", "Give its held prices back to the feed", () => withMarket(openGiveBack)],
  s: ["S", "Stop the chosen market",
    () => withMarket((market) => openStop("market", market.market_id, market.name))],
  "/": ["/", "Find an event", () => {
    if (currentPage().page === "board") at("search").focus();
    else {
      next = at("search");
      location.hash = "#/";
    }
  }],
  b: ["B", "Board", () => (location.hash = "#/")],
  r: ["R", "Bets that wait for a trader", () => (location.hash = "#/referrals")],
  i: ["I", "Risk: customers and hedges", () => (location.hash = "#/risk")],
  t: ["T", "Stops that stand", () => (location.hash = "#/stops")],
  a: ["A", "Audit", () => (location.hash = "#/audit")],
  "!": ["!", "Stop everything", () => panic()],
  "?": ["?", "These keys", () => openKeys()],
};
const TRADING = new Set(["p", "g", "s", "!"]);

function openKeys() {
  const rows = Object.entries(KEYS).filter(([key]) => may("trader") || !TRADING.has(key))
    .map(([, [key, what]]) => h("div", {}, h("dt", {}, h("kbd", {}, key)), h("dd", {}, what)));
  const node = h("dialog", { class: "dialog", "aria-label": "Keys" },
    h("button", { type: "button", class: "bare dialog-close", "aria-label": "Close",
      onclick: () => node.close() }, icon("close")),
    h("h2", {}, "Keys"), h("dl", { class: "keys" }, ...rows));
  node.addEventListener("close", () => node.remove());
  document.body.append(node);
  node.showModal();
}

document.addEventListener("keydown", (pressed) => {
  const typing = pressed.target.closest?.("input, select, textarea, dialog");
  if (!member.value || typing || pressed.ctrlKey || pressed.metaKey || pressed.altKey) return;
  const found = KEYS[pressed.key.length === 1 ? pressed.key.toLowerCase() : pressed.key];
  if (!found || (TRADING.has(pressed.key.toLowerCase()) && !may("trader"))) return;
  pressed.preventDefault();
  found[2]();
});

setInterval(() => here().tick(), TICK_MS);

try {
  await arrive();
} catch (error) {
  // A session that has ended says so by itself.
  if (error.code !== "unauthenticated") leave(explain(error));
}
