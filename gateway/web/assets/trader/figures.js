// Prices, money and ages as a trader reads and writes them. There are no floats here.

import { major, money, oddsText, parseAmount } from "../format.js";
import { member } from "./desk.js";

export const ONE = 10_000;

/** How far the server's clock is ahead of this one, in milliseconds. */
let ahead = 0;

export function clock(nowText) {
  ahead = Date.parse(nowText) - Date.now();
}

export const nowMs = () => Date.now() + ahead;

export function price(odds) {
  return odds ? oddsText(odds, "decimal") : "–";
}

/** A decimal price as it was typed: {odds} or {error}. "0" takes the price off. */
export function parsePrice(text) {
  const match = /^(\d{1,4})(?:\.(\d{1,4}))?$/.exec(text.trim());
  if (!match) return { error: "Write a decimal price such as 2.50, or 0 for none." };
  const odds = Number(match[1]) * ONE + Number((match[2] ?? "").padEnd(4, "0"));
  if (odds !== 0 && odds <= ONE) return { error: "A price is above 1, or 0 for none." };
  if (odds > 1000 * ONE) return { error: "No price is above 1000." };
  return { odds };
}

/** As an input shows it. */
export const priceField = (odds) => (odds ? major(odds, 4).replace(/0{1,2}$/, "") : "0");

export function cash(minor, sign = "auto") {
  return money(minor, member.value, sign);
}

/** Shorter, for a narrow column: £1,250 or £12.5k. */
export function shortCash(minor) {
  const units = minor / 10 ** member.value.minor_digits;
  const compact = new Intl.NumberFormat("en-GB", {
    style: "currency",
    currency: member.value.currency,
    notation: Math.abs(units) >= 10_000 ? "compact" : "standard",
    maximumFractionDigits: Math.abs(units) >= 10_000 ? 1 : 0,
  });
  return compact.format(units);
}

export const cashField = (minor) => major(minor, member.value.minor_digits);

/** {minor} or {error}; 0 is an amount here. */
export function parseCash(text) {
  if (/^0(\.0*)?$/.test(text.trim())) return { minor: 0 };
  return parseAmount(text, member.value.minor_digits);
}

/** Ten-thousandths of a percentage as it was typed, or null. */
export function parsePercent(text) {
  const match = /^(\d{1,4})(?:\.(\d{1,2}))?$/.exec(text.trim().replace(/\s*%$/, ""));
  return match && Number(match[1]) * 100 + Number((match[2] ?? "").padEnd(2, "0"));
}

/** How long ago: "now", "12 s", "5 min", "3 h", "2 d". */
export function age(iso) {
  if (!iso) return "–";
  const seconds = Math.max(0, Math.floor((nowMs() - Date.parse(iso)) / 1000));
  if (seconds < 1) return "now";
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3_600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

/** A cause of a suspension in words. */
export function causeText(cause) {
  if (cause.startsWith("stop/")) return "stopped by the desk";
  return {
    trader: "by a trader", liability: "too much liability", stale: "prices too old",
    withdrawal: "a runner was withdrawn",
  }[cause] ?? cause;
}

export const STATUS = {
  open: "Open",
  suspended: "Suspended",
  closed: "Closed",
  settled: "Settled",
  cancelled: "Cancelled",
};
