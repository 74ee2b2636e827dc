// From what people drop, paste and type to what the service takes.

import { h, replace } from "./dom.js";

const CIF = /^\s*(data_|loop_|_cell_length_a)/m;
const POSCAR_NUMBERS = /^\s*[-+\d.eE]+\s+[-+\d.eE]+\s+[-+\d.eE]+\s*$/;

/** The inputs of a text: one CIF, one POSCAR, or formulas between commas and line ends; `{ id, cif | poscar | composition }`. */
export function inputsOf(text) {
  const trimmed = text.trim();
  if (!trimmed) return [];
  if (CIF.test(trimmed)) return [{ id: "pasted CIF", cif: text }];
  const lines = trimmed.split("\n");
  if (lines.length >= 8 && lines.slice(2, 5).every((line) => POSCAR_NUMBERS.test(line))) return [{ id: "pasted POSCAR", poscar: text }];
  // Between two digits a comma joins no formulas: none begins with a number. The service says what it takes in its place.
  const formulas = trimmed.split(/[\n;]+|(?<!\d),|,(?!\d)/).map((each) => each.trim()).filter(Boolean);
  return [...new Set(formulas)].map((composition) => ({ id: composition.slice(0, 200), composition }));
}

/** A zone that takes dropped files, those chosen by a button, and those pasted. `onFiles(files)` gets each lot. */
export function acceptDrops(zone, onFiles) {
  const over = (is) => (event) => {
    event.preventDefault();
    zone.classList.toggle("over", is);
  };
  zone.addEventListener("dragenter", over(true));
  zone.addEventListener("dragover", over(true));
  zone.addEventListener("dragleave", over(false));
  zone.addEventListener("drop", (event) => {
    over(false)(event);
    // Dragged text brings none.
    if (event.dataTransfer.files.length) onFiles([...event.dataTransfer.files]);
  });
}

/** A zone around a field for one file, which takes a dropped one too and says so when others came with it. */
export function dropZone(field) {
  const told = h("p", { class: "small", role: "status" });
  const zone = h("div", { class: "drop" }, field, told);
  field.addEventListener("change", () => replace(told));
  acceptDrops(zone, ([first, ...others]) => {
    const transfer = new DataTransfer();
    transfer.items.add(first);
    field.files = transfer.files;
    replace(told, others.length > 0 && `One file at a time: ${first.name} was taken, the others were not.`);
  });
  return zone;
}

/** Comma-separated values; a text that a spreadsheet would take for a formula is kept a text. */
export function csv(heads, rows) {
  const cell = (value) => {
    if (value === null || value === undefined) return "";
    if (typeof value === "number" || typeof value === "boolean") return String(value);
    const text = /^[=+\-@\t]/.test(value) ? `'${value}` : value;
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [heads, ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}
