// Money, odds and times as people read them, and stakes as people write them.
// Money is whole minor units and odds are whole ten-thousandths; there are no floats here.

const LOCALE = "en-GB";
const ONE = 10_000n;

// Money

const formats = new Map();

function currencyFormat(currency, digits, sign) {
  const key = `${currency} ${digits} ${sign}`;
  if (!formats.has(key)) {
    formats.set(key, new Intl.NumberFormat(LOCALE, {
      style: "currency",
      currency,
      minimumFractionDigits: digits,
      maximumFractionDigits: digits,
      signDisplay: sign,
    }));
  }
  return formats.get(key);
}

/** Minor units in major units without a symbol: (1050, 2) is "10.50". */
export function major(minor, digits) {
  const sign = minor < 0 ? "-" : "";
  const figures = String(minor).replace("-", "").padStart(digits + 1, "0");
  const cut = figures.length - digits;
  return digits ? `${sign}${figures.slice(0, cut)}.${figures.slice(cut)}` : sign + figures;
}

/** With its currency, `wallet` saying which and how many digits: "£10.50". */
export function money(minor, wallet, sign = "auto") {
  // A string keeps every digit where a number would have to be divided.
  return currencyFormat(wallet.currency, wallet.minor_digits, sign).format(
    major(minor, wallet.minor_digits),
  );
}

/** Shorter where there are no pence to show: "£10". */
export function roundMoney(minor, wallet) {
  const unit = 10 ** wallet.minor_digits;
  return minor % unit === 0
    ? currencyFormat(wallet.currency, 0, "auto").format(String(minor / unit))
    : money(minor, wallet);
}

/**
 * What was typed, as minor units: {minor} or {error}. Exact, and strict where a comma could mean
 * two things: nobody stakes a hundred times what they meant.
 */
export function parseAmount(text, digits) {
  const typed = text.trim();
  const example = digits ? `10.${"5".padEnd(digits, "0")}` : "10";
  if (!typed) return { error: "Enter an amount." };
  if (typed.includes(",")) return { error: `Leave out commas: write ${example}.` };
  const match = /^(\d*)(?:\.(\d*))?$/.exec(typed);
  if (!match || !(match[1] || match[2])) return { error: `Enter an amount such as ${example}.` };
  const [, whole, part = ""] = match;
  if (part.length > digits) {
    return {
      error: digits
        ? `This currency has ${digits} decimal places: write ${example}.`
        : "This currency has no decimal places.",
    };
  }
  const minor = BigInt((whole || "0") + part.padEnd(digits, "0"));
  if (minor === 0n) return { error: "Enter more than zero." };
  if (minor > 10n ** 15n) return { error: "That is more than any bet or payment can be." };
  return { minor: Number(minor) };
}

/** The server's own rounding, a half up. */
function divide(numerator, denominator) {
  return Number((2n * numerator + denominator) / (2n * denominator));
}

/** What a winning single pays, its stake included. */
export function payout(stakeMinor, odds) {
  return divide(BigInt(stakeMinor) * BigInt(odds), ONE);
}

/**
 * What an each-way single pays, with `stakeMinor` on each half: {won, placed}. The place part has
 * the winnings of the price over `divisor`.
 */
export function eachWayPayout(stakeMinor, odds, divisor) {
  const [stake, price, parts] = [stakeMinor, odds, divisor].map(BigInt);
  const placed = stake * (ONE * parts + price - ONE);
  return {
    won: divide(placed + stake * price * parts, ONE * parts),
    placed: divide(placed, ONE * parts),
  };
}

// Odds

function decimal(odds) {
  const text = major(odds, 4);
  return text.replace(/0{1,2}$/, "");
}

// Bookmakers' own fractions below 2/1, which a decimal price of two places stands for.
const USUAL = (
  "1/10 1/9 1/8 1/7 2/13 1/6 2/11 1/5 2/9 1/4 2/7 3/10 1/3 4/11 2/5 4/9 1/2 8/15 4/7 8/13 4/6 " +
  "8/11 4/5 5/6 10/11 11/10 6/5 5/4 11/8 6/4 13/8 7/4 15/8"
).split(" ");

const usual = new Map(
  USUAL.map((fraction) => {
    const [n, d] = fraction.split("/").map(Number);
    return [10_000 + 100 * Math.floor((200 * n + d) / (2 * d)), fraction];
  }),
);

function fractional(odds) {
  if (odds === 20_000) return "Evens";
  if (usual.has(odds)) return usual.get(odds);
  let [a, b] = [odds - 10_000, 10_000];
  while (b) [a, b] = [b, a % b];
  return `${(odds - 10_000) / a}/${10_000 / a}`;
}

function american(odds) {
  const profit = odds - 10_000;
  return odds >= 20_000
    ? `+${Math.floor((profit + 50) / 100)}`
    : `−${Math.floor((2_000_000 + profit) / (2 * profit))}`;
}

const notations = { decimal, fractional, american };

export const ODDS_FORMATS = {
  decimal: "Decimal 2.50",
  fractional: "Fractional 6/4",
  american: "American +150",
};

/**
 * A price in one of ODDS_FORMATS, or "SP" for the starting price, which is 0. The payout is always
 * reckoned from the exact price.
 */
export function oddsText(odds, format) {
  return odds ? notations[format](odds) : "SP";
}

// Times

const clock = new Intl.DateTimeFormat(LOCALE, { hour: "2-digit", minute: "2-digit" });
const weekday = new Intl.DateTimeFormat(LOCALE, {
  weekday: "short", day: "numeric", month: "short",
});
const full = new Intl.DateTimeFormat(LOCALE, {
  day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit",
});

/** When a fixture starts, local time: "Today 15:00", "Tomorrow 12:30", "Sat, 6 Dec 15:00". */
export function startText(iso, now = new Date()) {
  const at = new Date(iso);
  const midnight = (date) => new Date(date.getFullYear(), date.getMonth(), date.getDate());
  const days = Math.round((midnight(at) - midnight(now)) / 86_400_000);
  const day = { 0: "Today", 1: "Tomorrow" }[days] ?? weekday.format(at);
  return `${day} ${clock.format(at)}`;
}

export function timeText(iso) {
  return full.format(new Date(iso));
}

/** "match_result" is "Match result". */
export function words(name) {
  const text = name.replace(/[_-]+/g, " ").trim();
  return text.charAt(0).toUpperCase() + text.slice(1);
}
