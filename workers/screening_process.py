"""The process of a screening: candidates, made where a generator is to, in; parts and the choice among them out."""

import os
import sys
from pathlib import Path

from app.bulk.folder import RunFolder
from app.screening.generation.table import write_candidates
from app.screening.selecting import select
from app.screening.spec import GENERATED_EVENT, SELECTING_EVENT, SPEC_FILE, ScreeningSpec
from workers.attempt import PARENT_PID_VARIABLE, AttemptFolder
from workers.bulk_process import main


def begin(attempt: AttemptFolder) -> None:
    spec = ScreeningSpec.model_validate_json((attempt.path / SPEC_FILE).read_text())
    folder = RunFolder(attempt.path)
    path = folder.input_path(folder.run())
    if spec.generator is not None and not path.exists():
        write_candidates(spec.generator, spec.predictions.elements, path)
        attempt.append_event(GENERATED_EVENT, "The candidates are made.", {})


def complete(attempt: AttemptFolder) -> None:
    attempt.append_event(SELECTING_EVENT, "All candidates are predicted; the best are chosen.", {})
    select(RunFolder(attempt.path))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(os.environ[PARENT_PID_VARIABLE]), begin, complete))
