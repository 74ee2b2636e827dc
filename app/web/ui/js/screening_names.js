// What a screening is called: by what it looks through and for.

import { words } from "./format.js";

export function screeningName({ input, generator, wish }) {
  const keys = [...new Set([...wish.constraints, ...wish.objectives].map((each) => each.property))];
  const source = input ? input.name : { prototypes: "prototypes", substitutions: "substitutions", solid_solution: "a solid solution" }[generator?.kind] ?? "candidates";
  return `${source}: ${keys.map(words).join(", ") || "values"}`;
}

export function wantedText({ at_least: low, at_most: high, goal, target }) {
  if (goal) return goal === "target" ? `near to ${target}` : goal;
  if (low !== null && high !== null && low !== undefined && high !== undefined) return `${low} to ${high}`;
  return low !== null && low !== undefined ? `at least ${low}` : `at most ${high}`;
}
