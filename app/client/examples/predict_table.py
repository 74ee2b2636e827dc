"""Predictions for a table: the script of the rule in `Snakefile`; or `predict_table.py IN.csv OUT.csv [KEY ...]`."""

import sys
from pathlib import Path

import pandas as pd

from xtalforge_client import Client


def predict_table(source: Path, target: Path, properties: list[str]) -> None:
    """Write the table with columns of predictions; rows without a value say why in `error`."""
    with Client() as client:
        predicted = client.predict_frame(pd.read_csv(source), properties=properties)
    predicted.to_csv(target, index=False)


if "snakemake" in globals():
    rule = globals()["snakemake"]
    predict_table(Path(rule.input[0]), Path(rule.output[0]), list(rule.params.properties))
elif __name__ == "__main__":
    predict_table(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:] or ["formation_energy_per_atom"])
