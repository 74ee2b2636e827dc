// Charts in SVG, drawn anew at the width they have; the numbers lie beside them as a table.

import { h, onWidth, replace, s } from "./dom.js";
import { figure as figureText, number } from "./format.js";

const HEIGHT = 300;
const MARGIN = { top: 10, right: 14, bottom: 46, left: 62 };
const PATHS = 4;
/** How wide a chart of that caption was last: the next one, which may replace it, is never blank meanwhile. */
const lastWidths = new Map();

const linear = {
  place: (value) => value,
  ticks(low, high, wanted) {
    const step = niceStep((high - low) / wanted);
    const ticks = [];
    for (let at = Math.ceil(low / step - 1e-9) * step; at <= high + step * 1e-6; at += step) ticks.push(Math.abs(at) < step * 1e-6 ? 0 : at);
    return ticks;
  },
};
const logarithmic = {
  place: (value) => Math.log10(value),
  ticks(low, high, wanted) {
    const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
    const wide = last - first > wanted ? [1] : last - first > 2 ? [1, 3] : [1, 2, 5];
    const ticks = [];
    for (let power = first; power <= last; power += 1) for (const part of wide) ticks.push(part * 10 ** power);
    const inside = ticks.filter((tick) => tick >= low * 0.999 && tick <= high * 1.001);
    return inside.length > 1 ? inside : linear.ticks(low, high, wanted);
  },
};

function niceStep(rough) {
  const power = 10 ** Math.floor(Math.log10(rough || 1));
  return [1, 2, 2.5, 5, 10].find((part) => part * power >= rough) * power;
}

/** Low and high of all values with some room; never of width 0. */
function range(values, { isLog = false, from = null } = {}) {
  let low = Math.min(...values);
  let high = Math.max(...values);
  if (from !== null) low = Math.min(low, from);
  if (isLog) return low === high ? [low / 2, high * 2] : [low / 1.1, high * 1.1];
  if (low === high) return [low - (Math.abs(low) || 1) / 2, high + (Math.abs(high) || 1) / 2];
  const room = (high - low) * 0.04;
  return [from !== null && low === from ? low : low - room, high + room];
}

/** The frame with its axes; gives the group to draw in and the places of values. */
function frame(width, height, { x, y, xLabel, yLabel, xLog, yLog }) {
  const [xs, ys] = [xLog ? logarithmic : linear, yLog ? logarithmic : linear];
  const inner = { width: width - MARGIN.left - MARGIN.right, height: height - MARGIN.top - MARGIN.bottom };
  const along = (scale, [low, high], length) => (value) => (
    length * (scale.place(value) - scale.place(low)) / (scale.place(high) - scale.place(low))
  );
  const [xAt, up] = [along(xs, x, inner.width), along(ys, y, inner.height)];
  const yAt = (value) => inner.height - up(value);
  const xTicks = xs.ticks(...x, Math.max(2, Math.floor(inner.width / 80)));
  const yTicks = ys.ticks(...y, 5);
  const group = s("g", { transform: `translate(${MARGIN.left} ${MARGIN.top})` },
    xTicks.map((tick) => s("g", { class: "tick", transform: `translate(${xAt(tick)} 0)` },
      s("line", { y2: inner.height }), s("text", { y: inner.height + 18, "text-anchor": "middle" }, number(tick, 3)))),
    yTicks.map((tick) => s("g", { class: "tick", transform: `translate(0 ${yAt(tick)})` },
      s("line", { x2: inner.width }), s("text", { x: -8, dy: ".32em", "text-anchor": "end" }, number(tick, 3)))),
    s("rect", { class: "frame", width: inner.width, height: inner.height }),
    s("text", { x: inner.width / 2, y: inner.height + 38, "text-anchor": "middle" }, xLabel),
    s("text", { transform: `translate(${-MARGIN.left + 13} ${inner.height / 2}) rotate(-90)`, "text-anchor": "middle" }, yLabel));
  return { group, xAt, yAt, inner };
}

/** A figure with caption, key, chart and, to unfold, its numbers. `paint(width)` gives the SVG's children. */
function figure({ caption, summary, key = [], height = HEIGHT, paint, numbers = null }) {
  const svg = s("svg", { role: "img", "aria-label": `${caption}. ${summary}` });
  const place = h("div", {}, svg);
  const draw = (width) => {
    lastWidths.set(caption, width);
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    replace(svg, paint(width, height));
  };
  if (lastWidths.has(caption)) draw(lastWidths.get(caption));
  onWidth(place, draw);
  return h("figure", { class: "chart" }, h("figcaption", {}, caption),
    key.length > 1 && h("ul", { class: "key" }, key.map((name, index) => h("li", {},
      s("svg", { viewBox: "0 0 20 10", "aria-hidden": "true" }, marker(index, 10, 5)), name))),
    place, numbers && h("details", {}, h("summary", {}, "Numbers"), numbers()));
}

/** Dots that differ in shape as well as in colour. */
function marker(index, x, y, r = 4, title = null) {
  const name = `dot series-${(index % PATHS) + 1}`;
  const inside = title && s("title", {}, title);
  if (index % PATHS === 0) return s("circle", { class: name, cx: x, cy: y, r }, inside);
  if (index % PATHS === 1) return s("path", { class: name, d: `M${x} ${y - r * 1.3}l${r * 1.25} ${r * 2.2}h${-r * 2.5}z` }, inside);
  if (index % PATHS === 2) return s("rect", { class: name, x: x - r * 0.9, y: y - r * 0.9, width: r * 1.8, height: r * 1.8 }, inside);
  return s("path", { class: name, d: `M${x} ${y - r * 1.35}l${r * 1.35} ${r * 1.35}l${-r * 1.35} ${r * 1.35}l${-r * 1.35} ${-r * 1.35}z` }, inside);
}

function plainTable(caption, heads, rows) {
  return h("div", { class: "scroll tall", tabindex: "0", role: "region", "aria-label": `Numbers of: ${caption}` }, h("table", {},
    h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col", class: "numeric" }, head)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell) => h("td", { class: "numeric" }, typeof cell === "number" ? number(cell) : cell)))))));
}

/** Lines over x; `series` are `{ name, points: [[x, y], ...] }`, `dots` marks the points. */
export function lineChart({ caption, summary, series, xLabel, yLabel, xLog = false, yLog = false, dots = false }) {
  const points = series.flatMap((each) => each.points);
  const axes = {
    x: xLog || points.length > 1 ? range(points.map(([x]) => x), { isLog: xLog }) : [0, points[0][0] * 2 || 1],
    y: range(points.map(([, y]) => y), { isLog: yLog, from: yLog ? null : 0 }), xLabel, yLabel, xLog, yLog,
  };
  return figure({
    caption, summary, key: series.map((each) => each.name),
    paint(width, height) {
      const { group, xAt, yAt } = frame(width, height, axes);
      series.forEach((each, index) => {
        const path = each.points.map(([x, y], at) => `${at ? "L" : "M"}${xAt(x).toFixed(1)} ${yAt(y).toFixed(1)}`).join("");
        group.append(s("path", { class: `line series-${index + 1}`, d: path }));
        if (dots || each.points.length === 1) {
          for (const [x, y] of each.points) group.append(marker(index, xAt(x), yAt(y), 4, `${number(x)}: ${number(y)}`));
        }
      });
      return group;
    },
    numbers: () => plainTable(caption, [xLabel, ...series.map((each) => each.name)], byX(series)),
  });
}

function byX(series) {
  const rows = new Map();
  series.forEach((each, index) => each.points.forEach(([x, y]) => {
    if (!rows.has(x)) rows.set(x, [x, ...series.map(() => "")]);
    rows.get(x)[index + 1] = y;
  }));
  return [...rows.values()].sort((a, b) => a[0] - b[0]);
}

/**
 * Dots; `groups` are `{ name, points: [{ x, y, title }] }`. `diagonal` draws y = x with the same range on both axes.
 */
export function scatterChart({
  caption, summary, groups, xLabel, yLabel, xLog = false, yLog = false, diagonal = false, path = null, height = HEIGHT,
}) {
  const points = groups.flatMap((group) => group.points);
  let x = range(points.map((point) => point.x), { isLog: xLog });
  let y = range(points.map((point) => point.y), { isLog: yLog });
  if (diagonal) x = y = [Math.min(x[0], y[0]), Math.max(x[1], y[1])];
  return figure({
    caption, summary, key: groups.map((group) => group.name), height,
    paint(width) {
      const { group, xAt, yAt } = frame(width, height, { x, y, xLabel, yLabel, xLog, yLog });
      if (diagonal) group.append(s("path", { class: "diagonal", d: `M${xAt(x[0])} ${yAt(x[0])}L${xAt(x[1])} ${yAt(x[1])}` }));
      if (path?.length > 1) {
        const d = path.map(([px, py], at) => `${at ? "L" : "M"}${xAt(px).toFixed(1)} ${yAt(py).toFixed(1)}`).join("");
        group.append(s("path", { class: "line series-2", d }));
      }
      const r = points.length > 300 ? 2.5 : 4;
      groups.forEach((each, index) => each.points.forEach((point) => group.append(marker(index, xAt(point.x), yAt(point.y), r, point.title))));
      return group;
    },
    numbers: () => plainTable(caption, ["", xLabel, yLabel], points.slice(0, 1000).map((point) => [point.title ?? "", point.x, point.y])),
  });
}

/** Bars between edges. `marks` are values to point at, as outliers. */
export function histogram({ caption, summary, edges, counts, xLabel, yLabel = "rows", xLog = false, marks = [] }) {
  const most = Math.max(...counts, 1);
  return figure({
    caption, summary, height: 240,
    paint(width, height) {
      const { group, xAt, yAt, inner } = frame(width, height, {
        x: [edges[0], edges[edges.length - 1]], y: [0, most * 1.05], xLabel, yLabel, xLog,
      });
      counts.forEach((n, index) => {
        const [left, right] = [xAt(edges[index]), xAt(edges[index + 1])];
        group.append(s("rect", {
          class: "bar series-1", x: left + 0.5, width: Math.max(0.5, right - left - 1), y: yAt(n), height: inner.height - yAt(n),
        }, s("title", {}, `${number(edges[index])} to ${number(edges[index + 1])}: ${n}`)));
      });
      for (const mark of marks) {
        group.append(s("path", { class: "marked", d: `M${xAt(mark) - 4} ${inner.height - 9}l4 8l4 -8` }, s("title", {}, number(mark))));
      }
      return group;
    },
    numbers: () => plainTable(caption, ["from", "to", yLabel], counts.map((n, index) => [edges[index], edges[index + 1], n])),
  });
}

/** Lying bars with the values of single folds as dots; `bars` are `{ name, value, dots, chosen }`. */
export function barChart({ caption, summary, bars, xLabel }) {
  const line = 26;
  const height = MARGIN.top + MARGIN.bottom + line * bars.length;
  const most = Math.max(...bars.flatMap((bar) => [bar.value, ...(bar.dots ?? [])]));
  return figure({
    caption, summary, height,
    paint(width) {
      const left = Math.min(360, width * 0.5);
      const inner = width - left - MARGIN.right - 50;
      const xAt = (value) => (inner * value) / (most || 1);
      const top = (index) => MARGIN.top + index * line;
      const ticks = linear.ticks(0, most, Math.max(2, Math.floor(inner / 80)));
      const bottom = top(bars.length);
      return [
        ticks.map((tick) => s("g", { class: "tick", transform: `translate(${left + xAt(tick)} 0)` },
          s("line", { y1: MARGIN.top, y2: bottom }), s("text", { y: bottom + 18, "text-anchor": "middle" }, number(tick, 3)))),
        s("text", { x: left + inner / 2, y: bottom + 38, "text-anchor": "middle" }, xLabel),
        bars.map((bar, index) => s("g", {},
          s("text", { x: left - 8, y: top(index) + line / 2, dy: ".32em", "text-anchor": "end" }, shortened(bar.name, left)),
          s("rect", { class: `bar series-${bar.chosen ? 2 : 1}`, x: left, y: top(index) + 5, width: xAt(bar.value), height: line - 10 },
            s("title", {}, `${bar.name}: ${number(bar.value)}`)),
          (bar.dots ?? []).map((dot) => s("circle", { class: "dot series-3", cx: left + xAt(dot), cy: top(index) + line / 2, r: 3 })),
          s("text", { x: left + xAt(Math.max(bar.value, ...(bar.dots ?? []))) + 8, y: top(index) + line / 2, dy: ".32em" }, figureText(bar.value)))),
      ];
    },
    numbers: () => plainTable(caption, ["", xLabel], bars.map((bar) => [bar.name, bar.value])),
  });
}

function shortened(name, width) {
  const most = Math.max(8, Math.floor((width - 12) / 6.6));
  return name.length > most ? `${name.slice(0, most - 1)}…` : name;
}
