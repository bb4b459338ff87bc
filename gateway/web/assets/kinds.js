// Bets of several lines: which kinds some selections make, what these are called, and how many
// lines each has. A fold is how many of the free selections are in a line; bankers are in every
// line beside it.

const FULL_COVER = {
  trixie: [3, 2], patent: [3, 1], yankee: [4, 2], lucky_15: [4, 1], canadian: [5, 2],
  lucky_31: [5, 1], heinz: [6, 2], lucky_63: [6, 1], super_heinz: [7, 2], goliath: [8, 2],
};
const FULL_COVER_NAMES = {
  trixie: "Trixie", patent: "Patent", yankee: "Yankee", lucky_15: "Lucky 15",
  canadian: "Canadian", lucky_31: "Lucky 31", heinz: "Heinz", lucky_63: "Lucky 63",
  super_heinz: "Super Heinz", goliath: "Goliath",
};
const FOLD_NAMES = ["", "Single", "Double", "Treble"];
export const SAME_GAME = "Same-game multiple";

function choose(n, k) {
  let ways = 1;
  for (let at = 1; at <= k; at++) ways = (ways * (n - k + at)) / at;
  return ways;
}

export function linesOf(folds, free) {
  return folds.reduce((sum, fold) => sum + choose(free, fold), 0);
}

/**
 * The kinds that `free` selections make beside `bankers`, the one line of all first. With bankers
 * that is all of them in one line, and systems: no other kind is named after them.
 */
export function kindsFor(free, bankers) {
  const legs = free + bankers;
  if (legs < 2 || free < 1) return [];
  if (bankers) return ["accumulator", ...(free > 1 ? ["system"] : [])];
  if (free === 2) return ["double"];
  const full = Object.keys(FULL_COVER).filter((kind) => FULL_COVER[kind][0] === free);
  return [
    ...(free === 3 ? ["treble", "double"] : ["accumulator", "double", "treble"]),
    ...full,
    "system",
  ];
}

/** The folds of a kind; those of a system are chosen. */
export function foldsOf(kind, free, chosen) {
  if (kind === "system") return chosen;
  if (kind === "accumulator") return [free];
  const [legs, least] = FULL_COVER[kind] ?? [];
  if (legs) return Array.from({ length: legs - least + 1 }, (_, at) => least + at);
  return [{ single: 1, double: 2, treble: 3 }[kind]];
}

/** "Double" of two selections, "Doubles" of more, "5-fold", "Lucky 15". */
export function kindName(kind, legs, lines) {
  if (kind === "system") return "System";
  if (kind === "accumulator") return FOLD_NAMES[legs] ?? `${legs}-fold`;
  if (FULL_COVER_NAMES[kind]) return FULL_COVER_NAMES[kind];
  const name = FOLD_NAMES[foldsOf(kind, legs, [])[0]];
  return lines > 1 ? `${name}s` : name;
}

/** "4 lines". */
export function linesText(lines) {
  return lines === 1 ? "1 line" : `${lines.toLocaleString("en-GB")} lines`;
}

/** "Each-way: 3 places at 1/4 of the odds". */
export function termsText({ places, divisor }) {
  return `Each-way: ${places} ${places === 1 ? "place" : "places"} at 1/${divisor} of the odds`;
}

/** The legs of a bet, each a list of its selections: several where they are under one price. */
export function legsOf(bet) {
  const legs = new Map();
  bet.legs.forEach((it, at) => {
    const key = it.leg === undefined ? `own ${at}` : it.leg;
    legs.set(key, [...(legs.get(key) ?? []), it]);
  });
  return [...legs.values()];
}

/** What a bet is called: "System 2, 3 of 4 with 1 banker", "Trixie each-way"; a plain single "". */
export function betName(bet) {
  if (!bet.lines) return "";
  const { kind, folds, lines, each_way: eachWay } = bet.lines;
  const legs = legsOf(bet);
  if (legs.length === 1 && legs[0].length > 1) return SAME_GAME;
  const bankers = bet.legs.filter((leg) => leg.banker).length;
  const beside = bankers ? ` with ${bankers} ${bankers === 1 ? "banker" : "bankers"}` : "";
  const name = kind === "system"
    ? `System ${folds.join(", ")} of ${legs.length - bankers}${beside}`
    // Each-way, half of the lines are on the places.
    : kindName(kind, Math.max(...folds) + bankers, eachWay ? lines / 2 : lines);
  return eachWay ? `${name} each-way` : name;
}
