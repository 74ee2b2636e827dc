"""Inputs of bulk predictions: rock salts, compositions, and rows that cannot be used."""

import csv
import io
import json
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from app.bulk.folder import BulkRun, RunFolder
from app.bulk.inputs import look_at
from app.bulk.spec import ModelUse
from app.core.settings import LimitSettings
from app.learning.graphs.settings import GraphSettings
from app.predictions.selection import SelectedModel
from app.registry.artifact import Artifact, StoredVersion
from app.registry.manifest import MANIFEST_FILE, TRUST_FILE, WEIGHTS_FILE, Manifest
from tests.tiny_models import ENERGY_MODEL, GAP_MODEL, salts
from tests.workers.conftest import poscar

LIMITS = LimitSettings()
MAX_ROWS = 10_000

POSCARS = [poscar(crystal) for crystal in salts()]


def rows(n: int) -> list[dict[str, str]]:
    """`n` rock salts; every tenth row from the fourth on is no structure."""
    return [{"id": f"salt-{i}", "poscar": "nonsense" if i % 10 == 3 else POSCARS[i % len(POSCARS)]} for i in range(n)]


def as_csv(records: list[dict[str, str]], encoding: str = "utf-8", delimiter: str = ",") -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(records[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue().encode(encoding)


def as_json_lines(records: list[dict[str, str]]) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def as_parquet(records: list[dict[str, str]]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(records), sink)
    return sink.getvalue()


def as_zip(records: list[dict[str, str]]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for record in records:
            archive.writestr(f"{record['id']}.vasp", record["poscar"])
        archive.writestr("id_prop.csv", "a,1\n")
    return sink.getvalue()


def run_folder(
    folder: Path, content: bytes, models_store: Path, chunk_rows: int = 20, n_processes: int = 1
) -> RunFolder:
    """A run over this input with two structure models."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "input").write_bytes(content)
    with (folder / "input").open("rb") as file:
        found = look_at(file, LIMITS, MAX_ROWS)
    models = [_model(models_store / name / "1") for name in (ENERGY_MODEL, GAP_MODEL)]
    run = BulkRun(
        input_path="input", input=found, models=tuple(ModelUse.of(selected) for selected, _ in models), limits=LIMITS,
        chunk_rows=chunk_rows, n_processes=n_processes, device="cpu",
    )  # fmt: skip
    created = RunFolder(folder)
    created.create(run, (artifact for _, artifact in models))
    return created


def _model(folder: Path) -> tuple[SelectedModel, Artifact]:
    manifest = Manifest.model_validate_json((folder / MANIFEST_FILE).read_text())
    version = StoredVersion(f"mv_{manifest.name}", manifest.name, 1, manifest.weights_sha256, {})
    graph = GraphSettings.model_validate(manifest.graph)
    selected = SelectedModel(version, manifest, graph, frozenset(manifest.elements), is_named=False)
    weights, trust = ((folder / name).read_bytes() for name in (WEIGHTS_FILE, TRUST_FILE))
    return selected, Artifact(manifest, weights, trust)
