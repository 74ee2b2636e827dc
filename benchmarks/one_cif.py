"""One CIF text to its prediction in this process, one after the other, intervals included: median and spread.

    OMP_NUM_THREADS=1 python -m benchmarks.one_cif --data-kit DIR [--n 500]

Prints JSON; times in ms on one thread. `with_interval` is what the service answers with, `value_alone` leaves the
interval and the domain out.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from app.core.settings import Settings
from app.learning.predictor import Estimate, Predictor
from app.registry.manifest import MANIFEST_FILE, Manifest
from app.structures.reader import read_structure
from benchmarks.http_load import cif_texts

MODEL = "cgcnn-formation-energy/2"
LEVEL = 0.9
WARM_UP = 50


def predictor(folder: Path, *, knows_errors: bool) -> Predictor:
    manifest = Manifest.model_validate_json((folder / MANIFEST_FILE).read_text())
    trust = (folder / "trust.safetensors").read_bytes() if knows_errors else None
    return Predictor.from_bytes(manifest, (folder / "weights.safetensors").read_bytes(), trust)


def timed(work: Callable[[str], None], texts: list[str]) -> dict[str, float]:
    """Milliseconds per text."""
    taken = []
    for number, text in enumerate(texts):
        started = time.perf_counter()
        work(text)
        if number >= WARM_UP:
            taken.append(1000 * (time.perf_counter() - started))
    median, most = np.percentile(taken, [50, 95])
    return {"median_ms": round(float(median), 3), "p95_ms": round(float(most), 3), "n": len(taken)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-kit", type=Path, help="without it the structures are made")
    parser.add_argument("--n", type=int, default=500)
    options = parser.parse_args()
    torch.set_num_threads(1)
    texts = cif_texts(options.data_kit, options.n + WARM_UP, seed=7)
    folder = Settings().models_store / MODEL
    result = {}
    for name, knows_errors in (("with_interval", True), ("value_alone", False)):
        model = predictor(folder, knows_errors=knows_errors)

        def answer(text: str, model: Predictor = model) -> None:
            (found,) = model.estimate([read_structure(text)])
            if isinstance(found, Estimate) and found.assessment is not None:
                found.assessment.interval(LEVEL)

        result[name] = timed(answer, texts)
    print(json.dumps({"model": MODEL, **result}, indent=1))


if __name__ == "__main__":
    main()
