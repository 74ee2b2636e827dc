// The unit cell in three dimensions, with the atoms on its faces, edges and corners drawn on every one of them.

import { h, onWidth, replace, s } from "./dom.js";
import { elementName } from "./elements.js";
import { fixed, formula, formulaText, number, plural } from "./format.js";
import { errorBox, facts } from "./parts.js";

const LIBRARY = "../vendor/3Dmol-2.5.5.min.js";
const BOUNDARY = 1e-3;
const MOST_ATOMS = 4000;
const TURN = 20;
const LABEL_GAP = 1.1;
const SCALE = 0.3;
const ORIGIN = { x: 0, y: 0, z: 0 };

let library = null;
let lastView = null;
function load3Dmol() {
  library ??= new Promise((resolve, reject) => {
    const script = h("script", { src: new URL(LIBRARY, import.meta.url), onLoad: () => resolve(globalThis.$3Dmol), onError: () => {
      library = null;
      reject(new Error("The viewer could not be loaded."));
    } });
    document.head.append(script);
  });
  return library;
}

/** Every atom with its images on the boundary: `[{ element, x, y, z }]`, Å. */
export function atomsWithBoundary({ sites, cell }) {
  const [a, b, c] = cell.vectors;
  const atoms = [];
  for (const { element, position } of sites) {
    // Within rounding of the far side is on the near one.
    const base = position.map((x) => (x > 1 - BOUNDARY ? x - 1 : x));
    const steps = base.map((x) => (Math.abs(x) < BOUNDARY ? [0, 1] : [0]));
    for (const i of steps[0]) for (const j of steps[1]) for (const k of steps[2]) {
      const [u, v, w] = [base[0] + i, base[1] + j, base[2] + k];
      atoms.push({ element, x: u * a[0] + v * b[0] + w * c[0], y: u * a[1] + v * b[1] + w * c[1], z: u * a[2] + v * b[2] + w * c[2] });
    }
  }
  return atoms;
}

const point = ([x, y, z]) => ({ x, y, z });
const beyond = ({ x, y, z }) => {
  const length = Math.hypot(x, y, z);
  const scale = (length + LABEL_GAP) / length;
  return { x: x * scale, y: y * scale, z: z * scale };
};
const sum = (...vectors) => vectors.reduce((p, q) => ({ x: p.x + q.x, y: p.y + q.y, z: p.z + q.z }), ORIGIN);

/** The card of one structure: its cell to turn, its legend and its measures. */
export function cellCard(structure) {
  const view = h("div", { class: "cell-view", role: "img", "aria-label": described(structure) });
  const legend = h("ul", { class: "legend" });
  const controls = h("div", { class: "row", role: "group", "aria-label": "Turn the cell" });
  const card = h("section", { class: "card cell", "aria-label": "Unit cell" },
    h("h2", {}, formula(structure.formula, true)), view, controls, legend, measures(structure));
  start(view, controls, legend, structure).catch((error) => replace(view, errorBox(error)));
  return card;
}

function described({ formula: text, n_sites: n, cell }) {
  return `Unit cell of ${formulaText(text)} with ${plural(n, "atom")}: a ${fixed(cell.a, 3)}, b ${fixed(cell.b, 3)}, c ${fixed(cell.c, 3)} `
    + `ångström, angles ${number(cell.alpha)}, ${number(cell.beta)} and ${number(cell.gamma)} degrees.`;
}

function measures({ n_sites: n, cell, notes }) {
  return facts([
    ["a, b, c", `${fixed(cell.a, 3)}, ${fixed(cell.b, 3)}, ${fixed(cell.c, 3)} Å`],
    ["α, β, γ", `${number(cell.alpha)}°, ${number(cell.beta)}°, ${number(cell.gamma)}°`],
    ["Volume", `${number(cell.volume)} Å³`],
    ["Atoms in the cell", String(n)],
    notes.length ? ["Read with", notes.join("; ")] : null,
  ]);
}

/** A browser draws a few cells at a time: those that are gone must not count. */
function makeRoom(view) {
  if (lastView && !lastView.isConnected) {
    for (const canvas of lastView.querySelectorAll("canvas")) {
      (canvas.getContext("webgl2") ?? canvas.getContext("webgl"))?.getExtension("WEBGL_lose_context")?.loseContext();
    }
  }
  lastView = view;
}

function drawsWebGL() {
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("webgl2") ?? canvas.getContext("webgl");
  context?.getExtension("WEBGL_lose_context")?.loseContext();
  return context !== null;
}

async function start(view, controls, legend, structure) {
  const $3Dmol = await load3Dmol();
  makeRoom(view);
  const colour = (element) => $3Dmol.elementColors.Jmol[element] ?? 0xff1493;
  const names = [...new Set(structure.sites.map((site) => site.element))];
  replace(legend, names.map((name) => h("li", {},
    s("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, s("circle", {
      cx: 8, cy: 8, r: 7, fill: `#${colour(name).toString(16).padStart(6, "0")}`, stroke: "currentColor", "stroke-width": 1,
    })), `${name} (${elementName(name)}), ${structure.elements[name]}`)));
  const atoms = atomsWithBoundary(structure);
  if (atoms.length > MOST_ATOMS) {
    replace(view, h("p", { class: "empty" }, `The cell has ${structure.n_sites} atoms, too many to draw.`));
    return;
  }
  const viewer = drawsWebGL() && $3Dmol.createViewer(view, { antialias: true, disableFog: true, orthographic: true });
  if (!viewer) {
    replace(view, h("p", { class: "empty" }, "This browser offers no WebGL, which the picture of the cell needs."));
    return;
  }
  draw(viewer, atoms, structure.cell, colour);
  const home = viewer.getView();
  const buttons = [
    ["←", "Turn left", () => viewer.rotate(-TURN, "vy")], ["→", "Turn right", () => viewer.rotate(TURN, "vy")],
    ["↑", "Turn up", () => viewer.rotate(-TURN, "vx")], ["↓", "Turn down", () => viewer.rotate(TURN, "vx")],
    ["+", "Nearer", () => viewer.zoom(1.2)], ["−", "Farther", () => viewer.zoom(1 / 1.2)],
    ["Reset", "Reset the view", () => viewer.setView(home)],
  ];
  replace(controls, buttons.map(([sign, name, act]) => h("button", { type: "button", class: "icon", "aria-label": name, title: name, onClick: () => {
    act();
    viewer.render();
  } }, sign)));
  const repaint = () => {
    if (!view.isConnected) {
      removeEventListener("themechange", repaint);
      return;
    }
    draw(viewer, atoms, structure.cell, colour, viewer.getView());
  };
  addEventListener("themechange", repaint);
  onWidth(view, () => {
    viewer.resize();
    viewer.render();
  });
  view.dataset.drawn = String(atoms.length);
}

function draw(viewer, atoms, cell, colour, seenFrom = null) {
  // The viewer knows no variables: an element has them worked out.
  const plain = (name) => {
    const probe = h("span");
    probe.style.color = `var(${name})`;
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  };
  const [ground, ink] = [plain("--surface"), plain("--muted")];
  viewer.clear();
  viewer.setBackgroundColor(ground);
  const model = viewer.addModel();
  model.addAtoms(atoms.map((atom, index) => ({ elem: atom.element, x: atom.x, y: atom.y, z: atom.z, serial: index, bonds: [], bondOrder: [] })));
  viewer.setStyle({}, { sphere: { scale: SCALE, colorfunc: (atom) => colour(atom.elem) } });
  const [a, b, c] = cell.vectors.map(point);
  const corners = [[[ORIGIN, b, c, sum(b, c)], a], [[ORIGIN, a, c, sum(a, c)], b], [[ORIGIN, a, b, sum(a, b)], c]];
  for (const [starts, along] of corners) {
    for (const from of starts) viewer.addCylinder({ start: from, end: sum(from, along), radius: 0.035, color: ink, fromCap: 1, toCap: 1 });
  }
  [["a", a], ["b", b], ["c", c]].forEach(([name, end]) => viewer.addLabel(name, {
    position: beyond(end), fontColor: plain("--text"), fontSize: 16, showBackground: false,
    inFront: true, alignment: "center",
  }));
  viewer.zoomTo();
  if (seenFrom) viewer.setView(seenFrom);
  else {
    // Upright c, seen from a little above: nothing lies exactly behind something else.
    viewer.rotate(-90, "vx");
    viewer.rotate(-25, "vy");
    viewer.rotate(12, "vx");
    viewer.zoom(1.65);
  }
  viewer.render();
}
