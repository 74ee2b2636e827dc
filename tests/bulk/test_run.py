"""A run gives what single predictions give, once for each input, whatever it was stopped by."""

import csv
import io
import json
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.bulk import run as run_module
from app.bulk.folder import RunFolder
from app.bulk.formats import ResultFormat
from app.bulk.parts import RESULT_COLUMNS, PartInfo, read_part, total
from app.bulk.results import encode
from app.bulk.run import RunSize, RunStopped, run_bulk
from app.core.errors import TooManyInputs, XtalforgeError
from app.learning.predictor import Estimate, Predictor
from tests.bulk.tables import as_csv, as_json_lines, as_parquet, rows, run_folder
from tests.tiny_models import salts

N_ROWS = 130
N_BAD = sum(1 for row in rows(N_ROWS) if row["poscar"] == "nonsense")


class Told:
    def __init__(self) -> None:
        self.n_rows: list[int] = []
        self.parts: list[PartInfo] = []

    def counted(self, n_rows: int) -> None:
        self.n_rows.append(n_rows)

    def finished(self, part: PartInfo) -> None:
        self.parts.append(part)


def _lines(folder: RunFolder) -> list[dict[str, object]]:
    parts = [read_part(folder.part_path(info.number)) for info in folder.parts()]
    lines: list[dict[str, object]] = pa.concat_tables(parts).to_pylist()
    return lines


def test_a_run_stopped_and_resumed_gives_what_single_predictions_give(tmp_path: Path, tiny_models: Path) -> None:
    folder = run_folder(tmp_path, as_csv(rows(N_ROWS)), tiny_models, chunk_rows=20, n_processes=2)
    first, second = Told(), Told()
    with pytest.raises(RunStopped):
        run_bulk(folder, first, lambda: len(first.parts) >= 2)
    kept = {info.number: folder.part_path(info.number).stat().st_mtime_ns for info in folder.parts()}
    assert 2 <= len(kept) < 7
    assert run_bulk(folder, second, lambda: False) == RunSize(N_ROWS, 7)
    assert {part.number for part in second.parts} == set(range(7)) - set(kept)
    assert all(folder.part_path(number).stat().st_mtime_ns == time for number, time in kept.items())
    assert second.n_rows == [N_ROWS]
    assert total(folder.parts()) == (N_ROWS, N_BAD, 2 * N_ROWS - N_BAD)
    _check_values(folder)


def _told(estimate: Estimate | XtalforgeError) -> list[float]:
    assert isinstance(estimate, Estimate) and estimate.assessment is not None
    ends = estimate.assessment.interval(0.9)
    assert ends is not None
    return [estimate.value, *ends, estimate.assessment.score]


def _check_values(folder: RunFolder) -> None:
    crystals = salts()
    expected = {}
    for index, model in enumerate(folder.models(folder.run())):
        predictor = Predictor.from_bytes(model.manifest, folder.weights(index), folder.trust(index))
        expected[model.version.model_name] = [_told(estimate) for estimate in predictor.estimate(crystals)]
    lines = _lines(folder)
    assert [line["row"] for line in lines] == sorted(line["row"] for line in lines)  # type: ignore[type-var]
    seen = set()
    for line in lines:
        place = int(str(line["input_id"]).removeprefix("salt-"))
        assert line["row"] == place + 1
        seen.add((place, line["model"]))
        if place % 10 == 3:
            assert (line["model"], line["value"], line["error_code"]) == (None, None, "unparsable_structure")
        else:
            told = [line[name] for name in ("value", "lower", "upper", "domain_score")]
            assert line["error_code"] is None
            assert told == pytest.approx(expected[str(line["model"])][place % len(crystals)], abs=1e-3)
            assert line["in_domain"] is (float(str(line["domain_score"])) <= 1)
    assert len(seen) == len(lines)


def test_beside_a_gpu_the_processes_only_read_and_lost_ones_are_made_up_for(
    tmp_path: Path, tiny_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path of a GPU, on the CPU: the networks run in the process that leads."""
    monkeypatch.setattr(run_module, "has_gpu", lambda _: True)
    monkeypatch.setattr(run_module, "GPU_DEVICE", "cpu")
    folder = run_folder(tmp_path, as_json_lines(rows(N_ROWS)), tiny_models, n_processes=2)

    class Killer(Told):
        def finished(self, part: PartInfo) -> None:
            super().finished(part)
            if len(self.parts) == 1:
                child = next(c for c in psutil.Process().children() if "spawn_main" in " ".join(c.cmdline()))
                child.kill()

    assert run_bulk(folder, Killer(), lambda: False) == RunSize(N_ROWS, 7)
    assert total(folder.parts()) == (N_ROWS, N_BAD, 2 * N_ROWS - N_BAD)
    _check_values(folder)


def test_the_results_are_the_same_in_every_format(tmp_path: Path, tiny_models: Path) -> None:
    folder = run_folder(tmp_path, as_parquet(rows(25)), tiny_models, chunk_rows=4)
    run_bulk(folder, Told(), lambda: False)
    paths = [folder.part_path(info.number) for info in folder.parts()]
    written = {fmt: b"".join(encode(map(read_part, paths), fmt)) for fmt in ResultFormat}
    lines = [{name: line[name] for name in RESULT_COLUMNS} for line in _lines(folder)]
    assert pq.read_table(io.BytesIO(written[ResultFormat.PARQUET])).to_pylist() == lines
    assert [json.loads(line) for line in written[ResultFormat.JSONL].splitlines()] == lines
    table = list(csv.DictReader(io.StringIO(written[ResultFormat.CSV].decode())))
    assert tuple(table[0]) == RESULT_COLUMNS and len(table) == len(lines)
    for cells, line in zip(table, lines, strict=True):
        assert cells["input_id"] == line["input_id"] and cells["error_code"] == (line["error_code"] or "")
        assert (float(cells["value"]) if cells["value"] else None) == line["value"]


def test_a_file_that_turns_out_too_long_ends_the_run(tmp_path: Path, tiny_models: Path) -> None:
    folder = run_folder(tmp_path, as_csv(rows(60)), tiny_models)
    run = folder.run()
    too_few = run.model_copy(update={"input": run.input.model_copy(update={"max_rows": 50})})
    folder.create(too_few, iter(()))
    with pytest.raises(TooManyInputs, match="more than 50 rows"):
        run_bulk(folder, Told(), lambda: False)
