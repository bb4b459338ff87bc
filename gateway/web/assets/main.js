// The page: makes the parts, tells them of each other, and shows the view the address names.

import { Account } from "./account.js";
import { Bets } from "./bets.js";
import { Betslip } from "./betslip.js";
import { Board } from "./board.js";
import { Book } from "./book.js";
import { setText } from "./dom.js";
import { Statement } from "./statement.js";
import { connection, session } from "./store.js";
import { Stream } from "./stream.js";

const STALE_MS = 3_000;
const at = (id) => document.getElementById(id);

const book = new Book();
const account = new Account(at("who"));
const openLogin = (why) => account.openLogin(why);
const bets = new Bets(at("page-bets"), { openLogin, paid: () => readWallet() });
const statement = new Statement(at("page-account"), { openLogin });

let board;
let betslip;

const stream = new Stream(book, {
  fixture: (fixture) => board.created(fixture),
  phase: (delta) => board.phaseChanged(delta),
  betUpdate: (bet) => bets.update(bet),
  referral: (referral) => betslip.referral(referral),
  // What happened while the line was down is read again.
  live: () => {
    board.refresh();
    if (session.value) account.load();
    betslip.askReferrals();
    if (currentPage() === "bets") bets.load();
  },
});

/** Without the stream nobody else will tell of the new balance. */
function readWallet() {
  if (!stream.takesBets) account.load();
}

function follow() {
  const fixtureIds = [...board.fixtureIds(), ...betslip.fixtureIds()];
  stream.want(fixtureIds);
  book.keepOnly(fixtureIds);
}

betslip = new Betslip(at("slip"), book, stream, {
  openLogin,
  placed: (bet) => {
    bets.update(bet, { aloud: false });
    readWallet();
  },
});

board = new Board(at("page-board"), book, {
  pick: (fixture, market, selection) => betslip.toggle(fixture, market, selection),
  isPicked: (marketId, selectionId) => betslip.has(marketId, selectionId),
  wanted: follow,
});

at("slip").addEventListener("slip-changed", () => {
  board.syncAll();
  follow();
});

// Which page

const PAGES = { "": "board", "/": "board", "/bets": "bets", "/account": "account" };

function currentPage() {
  return PAGES[location.hash.slice(1)] ?? "board";
}

function showPage() {
  const page = currentPage();
  for (const name of ["board", "bets", "account"]) at(`page-${name}`).hidden = name !== page;
  for (const link of document.querySelectorAll("#nav a")) {
    if (link.dataset.page === page) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  bets.show(page === "bets");
  statement.show(page === "account");
  openSlip(false);
}

addEventListener("hashchange", () => {
  showPage();
  scrollTo(0, 0);
  at("main").focus({ preventScroll: true });
});

// The betslip, which on a phone covers the page

function openSlip(open) {
  document.body.classList.toggle("slip-open", open);
  at("open-slip").setAttribute("aria-expanded", String(open));
}

at("open-slip").addEventListener("click", () => {
  openSlip(!document.body.classList.contains("slip-open"));
  at("slip").focus({ preventScroll: true });
});
at("backdrop").addEventListener("click", () => openSlip(false));
at("slip").addEventListener("slip-close", () => {
  openSlip(false);
  at("open-slip").focus();
});
document.addEventListener("keydown", (event) => {
  const dialog = document.querySelector("dialog[open]");
  if (event.key === "Escape" && !dialog && document.body.classList.contains("slip-open")) {
    openSlip(false);
    at("open-slip").focus();
  }
});
for (const link of document.querySelectorAll(".skip")) {
  // Not by the address, which names the page.
  link.addEventListener("click", (event) => {
    event.preventDefault();
    if (link.dataset.skip === "slip") openSlip(true);
    at(link.dataset.skip).focus();
  });
}

// The connection

let staleTimer = 0;
connection.follow((state) => {
  const texts = { connecting: "Connecting", live: "Live", lost: "Reconnecting" };
  at("connection").dataset.state = state;
  setText(at("connection").lastElementChild, texts[state]);
  clearTimeout(staleTimer);
  if (state === "live") at("stale").hidden = true;
  // A blink is not worth a warning.
  else staleTimer = setTimeout(() => (at("stale").hidden = false), STALE_MS);
});

showPage();
board.refresh();
stream.connect();
