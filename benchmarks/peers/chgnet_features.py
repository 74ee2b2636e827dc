"""What CHGNet knows of crystals, for `python -m benchmarks.chgnet_features`: runs in the peers' environment.

    python -m benchmarks.peers.chgnet_features FILE.parquet ROWS.json OUT.jsonl

A line for each row of the list: energy in eV/atom, crystal features (64,), and the bulk modulus in GPa from the
stresses at 0.99 and 1.01 times the volume, atoms not relaxed. Lines that are there are kept.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from chgnet.model import CHGNet
from pymatgen.core.structure import Structure
from tqdm import tqdm

STRAINS = (0.99, 1.01)
"""Volumes, in those of the crystal."""


def features(model: CHGNet, structure: Structure) -> dict[str, object]:
    answer = model.predict_structure(structure, task="e", return_crystal_feas=True)
    pressures, volumes = [], []
    for strain in STRAINS:
        strained = structure.copy()
        strained.scale_lattice(structure.volume * strain)
        stress = np.asarray(model.predict_structure(strained, task="efs")["s"])
        pressures.append(-float(np.trace(stress)) / 3)
        volumes.append(strained.volume)
    modulus = -(pressures[1] - pressures[0]) / (volumes[1] - volumes[0]) * structure.volume
    return {"e": float(answer["e"]), "k": modulus, "features": np.asarray(answer["crystal_fea"]).ravel().tolist()}


def main() -> None:
    source, wanted, out = (Path(text) for text in sys.argv[1:])
    torch.set_num_threads(1)
    model = CHGNet.load(use_device="cpu", verbose=False)
    cifs = pq.read_table(source, columns=["cif"]).column(0)
    done = {json.loads(line)["row"] for line in out.read_text().splitlines()} if out.is_file() else set()
    with out.open("a") as file:
        for row in tqdm([row for row in json.loads(wanted.read_text()) if row not in done], unit="crystal"):
            found = features(model, Structure.from_str(cifs[row].as_py(), fmt="cif"))
            file.write(json.dumps({"row": row, **found}) + "\n")
            file.flush()


if __name__ == "__main__":
    main()
