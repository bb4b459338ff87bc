// Figures over time, drawn by hand as SVG: stepped lines, an axis for time and one for the figure,
// and the name of each line at its end. It is drawn anew when its room changes.

import { h } from "../dom.js";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 220;
const LEFT = 62;
const RIGHT = 12;
const TOP = 12;
const BOTTOM = 30;
const LINES = 6;
const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const STEPS = [
  SECOND, 5 * SECOND, 15 * SECOND, 30 * SECOND, MINUTE, 2 * MINUTE, 5 * MINUTE, 15 * MINUTE,
  30 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 30 * DAY, 90 * DAY,
];

function s(tag, attributes, text) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  if (text !== undefined) node.textContent = text;
  return node;
}

/** Round figures between two others, about as many as asked for: 1, 2 or 5 times a power of ten. */
export function ticks(low, high, about) {
  const span = high - low || Math.abs(high) || 1;
  const power = 10 ** Math.floor(Math.log10(span / about));
  const step = [1, 2, 5, 10].map((it) => it * power).find((it) => span / it <= about);
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step / 1e6; at += step) found.push(at);
  return found;
}

/** Whole seconds, minutes, hours or days of local time between two moments. */
export function timeTicks(from, to, about) {
  const step = STEPS.find((it) => (to - from) / it <= about) ?? STEPS[STEPS.length - 1];
  const zone = new Date(from).getTimezoneOffset() * MINUTE;
  const found = [];
  for (let at = Math.ceil((from - zone) / step) * step + zone; at <= to; at += step) found.push(at);
  return { step, at: found };
}

function timeText(at, step) {
  const date = new Date(at);
  if (step >= DAY) return date.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
  const seconds = step < MINUTE ? { second: "2-digit" } : {};
  return date.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", ...seconds });
}

/**
 * A figure with a plot. `show({series, now})`: of each of the series its `name` and `points`, which
 * are [milliseconds, figure] in the order of time. A line goes on as it is until its next point,
 * and to `now`. `text` writes a figure.
 */
export class Plot {
  #svg = s("svg", { role: "img", height: HEIGHT });
  #legend = h("ul", { class: "legend" });
  #empty = h("p", { class: "soft" });
  #title;
  #text;
  #drawn = { series: [], now: 0 };

  constructor({ title, empty, text }) {
    this.#title = title;
    this.#text = text;
    this.#empty.textContent = empty;
    this.node = h("figure", { class: "plot" },
      h("figcaption", {}, title), this.#svg, this.#legend, this.#empty);
    new ResizeObserver(() => this.#draw()).observe(this.node);
  }

  show(drawn) {
    const told = drawn.series.filter((it) => it.points.length);
    // The lines that end highest, where there are too many to tell apart.
    told.sort((a, b) => b.points.at(-1)[1] - a.points.at(-1)[1]);
    this.#drawn = { series: told.slice(0, LINES), now: drawn.now };
    this.#draw();
  }

  #draw() {
    const { series, now } = this.#drawn;
    const width = Math.floor(this.node.clientWidth);
    this.#svg.replaceChildren();
    this.#legend.replaceChildren();
    this.#empty.hidden = series.length > 0;
    this.#svg.toggleAttribute("hidden", series.length === 0);
    if (!series.length || width < 80) return;
    const all = series.flatMap((it) => it.points);
    const from = Math.min(...all.map(([at]) => at));
    const to = Math.max(now, from + SECOND);
    const values = all.map(([, value]) => value);
    let [low, high] = [Math.min(...values), Math.max(...values)];
    const room = (high - low || Math.abs(high) || 1) * 0.08;
    low = low >= 0 ? Math.max(0, low - room) : low - room;
    high += room;
    const x = (at) => LEFT + ((at - from) / (to - from)) * (width - LEFT - RIGHT);
    const y = (value) => TOP + ((high - value) / (high - low)) * (HEIGHT - TOP - BOTTOM);
    this.#svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    this.#svg.setAttribute("width", width);
    this.#axes(width, from, to, low, high, x, y);
    series.forEach((one, number) => {
      this.#svg.append(s("path", {
        class: `series series-${number}`, d: stepped(one.points, now, x, y),
      }));
      const [, value] = one.points.at(-1);
      this.#legend.append(h("li", { class: `series-${number}` },
        h("i", { "aria-hidden": "true" }), `${one.name} ${this.#text(value)}`));
    });
    this.#svg.setAttribute("aria-label", this.#words(series));
  }

  #axes(width, from, to, low, high, x, y) {
    const bottom = HEIGHT - BOTTOM;
    for (const value of ticks(low, high, 5)) {
      this.#svg.append(
        s("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }),
        s("text", { class: "tick", x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" },
          this.#text(value)));
    }
    const { step, at } = timeTicks(from, to, Math.max(2, Math.floor(width / 110)));
    for (const moment of at) {
      this.#svg.append(
        s("line", { class: "mark", x1: x(moment), x2: x(moment), y1: bottom, y2: bottom + 5 }),
        s("text", { class: "tick", x: x(moment), y: bottom + 19, "text-anchor": "middle" },
          timeText(moment, step)));
    }
    this.#svg.append(
      s("line", { class: "axis", x1: LEFT, x2: width - RIGHT, y1: bottom, y2: bottom }),
      s("line", { class: "axis", x1: LEFT, x2: LEFT, y1: TOP, y2: bottom }));
  }

  #words(series) {
    const lines = series.map(({ name, points }) =>
      `${name} from ${this.#text(points[0][1])} to ${this.#text(points.at(-1)[1])}`);
    return `${this.#title}: ${lines.join("; ")}`;
  }
}

function stepped(points, now, x, y) {
  const [first, ...rest] = points;
  const moves = rest.map(([at, value]) => `H${x(at).toFixed(1)}V${y(value).toFixed(1)}`);
  const start = `M${x(first[0]).toFixed(1)} ${y(first[1]).toFixed(1)}`;
  return `${start}${moves.join("")}H${x(now).toFixed(1)}`;
}
