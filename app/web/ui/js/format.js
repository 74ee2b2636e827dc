// Numbers, units, times and formulas for people.

import { h } from "./dom.js";
import { conventionalParts } from "./elements.js";

const MINUS = "\u2212";
const THIN = "\u2009";

const signed = (text) => text.replace("-", MINUS);

/** A number with about `digits` that matter: 0.04762, 12.3, 80,341, 1.2e-7. */
export function number(value, digits = 4) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-4 || size >= 1e7) return signed(value.toExponential(Math.max(0, digits - 2)));
  const decimals = Math.min(6, Math.max(0, digits - 1 - Math.floor(Math.log10(size))));
  return signed(value.toLocaleString("en-GB", { minimumFractionDigits: 0, maximumFractionDigits: decimals }));
}

/** The same with its last zeros, for columns of figures. */
export function figure(value, digits = 3) {
  if (!value || Math.abs(value) < 1e-4 || Math.abs(value) >= 1e7) return number(value, digits);
  const decimals = Math.max(0, digits - 1 - Math.floor(Math.log10(Math.abs(value))));
  return signed(value.toLocaleString("en-GB", { minimumFractionDigits: decimals, maximumFractionDigits: decimals }));
}

export const count = (value) => (value === null || value === undefined ? "–" : value.toLocaleString("en-GB"));

/** Decimals after which a value means nothing, from the width of its interval. */
export function decimalsOf(lower, upper, value) {
  const half = (upper - lower) / 2;
  if (!(half > 0)) return Math.max(0, 3 - Math.floor(Math.log10(Math.abs(value) || 1)));
  return Math.min(6, Math.max(0, 1 - Math.floor(Math.log10(half))));
}

export const fixed = (value, decimals) => signed(value.toFixed(decimals));

/** `eV/atom`, `cm⁻¹`; nothing for a plain number. */
export function unitText(unit) {
  if (unit === "1" || !unit) return "";
  return unit.replace(/-(\d)/g, (_, digit) => `⁻${"⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]}`);
}

export const withUnit = (text, unit) => (unitText(unit) ? `${text}${THIN}${unitText(unit)}` : text);

export const percent = (share, digits = 0) => `${(100 * share).toFixed(digits)}${THIN}%`;

export function bytes(size) {
  const units = ["B", "kB", "MB", "GB"];
  let at = 0;
  while (size >= 1000 && at < units.length - 1) {
    size /= 1000;
    at += 1;
  }
  return `${number(size, 3)}${THIN}${units[at]}`;
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 60) return `${number(seconds, 2)}${THIN}s`;
  const whole = Math.round(seconds);
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)];
  return hours ? `${hours} h ${minutes} min` : `${minutes} min ${whole % 60} s`;
}

export function time(iso) {
  if (!iso) return "–";
  const at = new Date(iso);
  const shown = at.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
  return h("time", { datetime: iso, title: at.toISOString() }, shown);
}

export const clock = (iso) => new Date(iso).toLocaleTimeString("en-GB");

export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

/** `formation_energy_per_atom` -> `formation energy per atom`. */
export const words = (key) => key.replaceAll("_", " ");

/** A formula with its numbers lowered, in the order that chemists use; other text as it is. */
export function formula(text, reorder = false) {
  const parts = reorder ? conventionalParts(text) : null;
  const written = parts ? parts.map(([symbol, amount]) => symbol + amount).join("") : text;
  if (!/^([A-Z][a-z]?[\d.]*|[()[\]]\d*)+$/.test(written)) return document.createTextNode(text);
  const element = h("span", { class: "nowrap" });
  for (const [piece] of written.matchAll(/[\d.]+|[^\d.]+/g)) {
    element.append(/[\d.]/.test(piece) ? h("sub", {}, piece) : piece);
  }
  return element;
}

export function formulaText(text) {
  const parts = conventionalParts(text);
  return parts ? parts.map(([symbol, amount]) => symbol + amount).join("") : text;
}
