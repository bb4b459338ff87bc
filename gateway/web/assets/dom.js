// Making and keeping DOM nodes. No inline styles anywhere: the page's policy forbids them.

/** Above a list that the server says is not up to date yet. */
export const LATE_TEXT = "Catching up: what happened last may be missing here.";

const SVG = "http://www.w3.org/2000/svg";

/** An element: h("button", {type: "button", onclick: fn, "aria-pressed": "true"}, "Text", node). */
export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.className = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** One of the symbols in index.html. Screen readers get the text beside it instead. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.setAttribute("class", `icon icon-${name}`);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

/** Set the text only where it differs: an untouched node costs no layout and no announcement. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Give `parent` exactly these children in this order, moving only what is out of place. */
export function arrange(parent, nodes) {
  const wanted = new Set(nodes);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  let at = parent.firstElementChild;
  for (const node of nodes) {
    if (node === at) at = at.nextElementSibling;
    else parent.insertBefore(node, at);
  }
}

/** A visible note that is also read aloud. `tone` is "good", "bad" or "plain". */
export function toast(text, tone = "plain") {
  const node = h("div", { class: `toast toast-${tone}` },
    h("span", {}, text),
    h("button", { type: "button", "aria-label": "Dismiss", class: "bare",
      onclick: () => node.remove() }, icon("close")));
  const toasts = document.getElementById("toasts");
  toasts.append(node);
  while (toasts.children.length > 3) toasts.firstElementChild.remove();
  setTimeout(() => node.remove(), 6000);
}
