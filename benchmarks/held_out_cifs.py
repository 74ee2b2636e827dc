"""Errors of the running service on CIFs that were in no training split.

    python benchmarks/held_out_cifs.py --data-kit DIR --url http://127.0.0.1:8000 -n 200

Takes random rows of the test part of the shipped CGCNN models' split (a hash of the formula, so the part is the same
for all of them), uploads each as a CIF file and compares the answers with the labels.
"""

import argparse
import time
from pathlib import Path

import httpx
import numpy as np
import pyarrow.parquet as pq

from app.learning.recipes import RECIPES
from app.learning.splits import split_rows

FILE = "source_mp_structures_106k.parquet"


def held_out(path: Path, n: int, seed: int) -> list[dict[str, object]]:
    """Random rows of the test part with both labels."""
    chosen = RECIPES["cgcnn-formation-energy/1"].hyperparameters
    assert chosen.split and chosen.train_fraction and chosen.val_fraction
    formulas = pq.read_table(path, columns=["formula"]).column(0).to_pylist()
    test = split_rows(formulas, chosen.split, chosen.train_fraction, chosen.val_fraction, 0).test
    seen = {formula for recipe in RECIPES.values() for formula in recipe.always_train}
    test = [row for row in test if formulas[row] not in seen]
    columns = ["material_id", "cif", "formation_energy_eV_per_atom", "band_gap_pbe_eV"]
    rows = pq.read_table(path, columns=columns).take(test).to_pylist()
    rows = [row for row in rows if row["formation_energy_eV_per_atom"] is not None]
    order = np.random.default_rng(seed).permutation(len(rows))[:n]
    return [rows[i] for i in order]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-kit", type=Path, required=True)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("-n", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rows = held_out(options.data_kit / FILE, options.n, options.seed)
    files = [("files", (f"{row['material_id']}.cif", str(row["cif"]), "chemical/x-cif")) for row in rows]
    started = time.perf_counter()
    answer = httpx.post(f"{options.url}/v1/predictions/upload", files=files, timeout=300)
    wall = time.perf_counter() - started
    answer.raise_for_status()
    body = answer.json()
    labels = {str(row["material_id"]): row for row in rows}
    errors: dict[tuple[str, str], list[float]] = {}
    for prediction in body["predictions"]:
        row = labels[prediction["input_id"].removesuffix(".cif").split("#")[0]]
        column = {
            "formation_energy_per_atom": "formation_energy_eV_per_atom", "band_gap": "band_gap_pbe_eV"
        }[prediction["property"]]  # fmt: skip
        label = float(row[column])  # type: ignore[arg-type]
        if "nonmetal" in prediction["model"]["name"] and label <= 0.1:
            continue
        errors.setdefault((prediction["model"]["name"], prediction["unit"]), []).append(prediction["value"] - label)
    print(f"{len(rows)} CIFs in one request: {wall:.2f} s, {len(body['errors'])} errors")
    print("| model | rows | MAE | median | largest | unit |\n|---|---|---|---|---|---|")
    for (name, unit), values in sorted(errors.items()):
        size = np.abs(values)
        print(f"| {name} | {len(size)} | {size.mean():.4f} | {np.median(size):.4f} | {size.max():.3f} | {unit} |")


if __name__ == "__main__":
    main()
