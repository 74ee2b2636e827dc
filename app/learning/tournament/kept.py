"""What of a tournament is on disk, so that one that was interrupted goes on with the time and the choices it had."""

import hashlib
import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from app.learning.baselines.families import Parameters

FloatArray = npt.NDArray[np.float64]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class KeptFold:
    """`predictions` (m,) of the rows a fold held out, None of networks, whose own state gives them; the time it took.

    `chosen` are hyperparameters that count for all later folds.
    """

    seconds: float
    predictions: FloatArray | None = None
    chosen: Parameters | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a network goes on after the first fold: for which share of its epochs, or why it does not."""

    share: float = 1.0
    left: str = ""


class Kept:
    """Files in a folder of the run; None keeps nothing. A full disk costs a later resume, not the run."""

    def __init__(self, work_dir: Path | None, run_key: str = "") -> None:
        name = hashlib.sha256(run_key.encode()).hexdigest()[:12]
        self._folder = None if work_dir is None else work_dir / f"tournament-{name}"

    @property
    def spent_s(self) -> float:
        """Seconds that earlier attempts took."""
        return float((self._read("spent") or {"seconds": 0.0})["seconds"])

    def keep_spent(self, seconds: float) -> None:
        self._write("spent", {"seconds": seconds})

    def fold(self, entrant: str, number: int) -> KeptFold | None:
        found = self._read(_name(entrant, number))
        if found is None:
            return None
        predictions = found["predictions"]
        return KeptFold(found["seconds"], None if predictions is None else np.array(predictions), found["chosen"])

    def keep_fold(self, entrant: str, number: int, fold: KeptFold) -> None:
        predictions = None if fold.predictions is None else fold.predictions.tolist()
        self._write(
            _name(entrant, number), {"seconds": fold.seconds, "predictions": predictions, "chosen": fold.chosen}
        )

    def decisions(self) -> dict[str, Decision]:
        """By network; none before the first fold is over."""
        return {name: Decision(**each) for name, each in (self._read("decisions") or {}).items()}

    def keep_decisions(self, decisions: dict[str, Decision]) -> None:
        self._write("decisions", {name: {"share": each.share, "left": each.left} for name, each in decisions.items()})

    def _read(self, name: str) -> dict[str, Any] | None:
        if self._folder is None or not (path := self._folder / f"{name}.json").is_file():
            return None
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def _write(self, name: str, content: dict[str, Any]) -> None:
        if self._folder is None:
            return
        path = self._folder / f"{name}.json"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            path.with_suffix(".partial").write_text(json.dumps(content))
            os.replace(path.with_suffix(".partial"), path)
        except OSError as error:
            log.warning("the state of the tournament was not saved, it goes on: %s", error)


def _name(entrant: str, number: int) -> str:
    return f"{hashlib.sha256(entrant.encode()).hexdigest()[:12]}-{number}"
