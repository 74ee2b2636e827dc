// Elements made by hand: text is always text, never markup.

const SVG = "http://www.w3.org/2000/svg";

function build(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2).toLowerCase(), value);
    else if (name === "value" && "value" in element) element.value = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

export function append(element, children) {
  for (const child of [children].flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
}

/** `h("p", { class: "muted" }, "text")`: an element with attributes, listeners (`onClick`) and children. */
export const h = (tag, attributes, ...children) => build(document.createElement(tag), attributes, children);

/** The same for SVG. */
export const s = (tag, attributes, ...children) => build(document.createElementNS(SVG, tag), attributes, children);

export function replace(element, ...children) {
  element.replaceChildren();
  append(element, children);
}

let lastId = 0;
export const uniqueId = (prefix) => `${prefix}-${(lastId += 1)}`;

/** Tell people who listen to the page what happened. */
export function announce(text) {
  document.getElementById("announcer").textContent = text;
}

/** Call `draw(width)` now and whenever the width of `element` changes; the observer goes with the element. */
export function onWidth(element, draw) {
  let width = 0;
  const observer = new ResizeObserver(([entry]) => {
    const now = Math.round(entry.contentRect.width);
    if (!now || now === width) return;
    width = now;
    // After this frame: drawing changes sizes, which the observer would report as a loop.
    requestAnimationFrame(() => draw(now));
  });
  observer.observe(element);
  return element;
}
