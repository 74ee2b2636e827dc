// The cells of the candidates that a screening names, out of the zip of their CIFs.

import { ApiError, request, send } from "./api.js";
import { cellCard } from "./cell.js";
import { openZip } from "./zip.js";

const OF_COMPOSITIONS = new Set(["composition", "formula"]);

/** Whether the candidates may have cells; of a stored data set only the zip tells. */
export function mayHaveCells({ generator, input }) {
  return generator ? generator.kind !== "solid_solution" : !OF_COMPOSITIONS.has(input.column);
}

/** `show(row)` gives the card of a candidate's cell, or null where candidates are compositions; the zip is fetched once. */
export function screenedCells(path, signal) {
  let zip = null;
  const fetched = () => {
    zip ??= send(`${path}/structures`, { headers: { Accept: "application/zip" }, signal }).then(async (response) => openZip(await response.arrayBuffer()));
    zip.catch(() => { zip = null; });
    return zip;
  };
  return async ({ rank, input_id: id }) => {
    let files;
    try {
      files = await fetched();
    } catch (error) {
      if (error instanceof ApiError && error.code === "input_kind_mismatch") return null;
      throw error;
    }
    const name = files.names.find((each) => Number.parseInt(each, 10) === rank);
    if (!name) throw new Error(`The zip of CIFs has none of rank ${rank}.`);
    const { structures, errors } = await request("v1/structures", { method: "POST", isSafe: true, signal, json: { inputs: [{ id, cif: await files.text(name) }] } });
    if (errors.length) throw new Error(errors[0].detail);
    return cellCard(structures[0]);
  };
}
