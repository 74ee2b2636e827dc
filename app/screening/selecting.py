"""The end of a screening: from the parts of its predictions to the table of results and the structures."""

from __future__ import annotations

import json
import os
import zipfile

from app.bulk.folder import BulkRun, RunFolder
from app.bulk.inputs import read_rows
from app.bulk.parts import read_part
from app.bulk.reading import read_row
from app.core.arrow import pq
from app.learning.trust.assessment import Trust
from app.learning.trust.file import load_trust
from app.screening.predicted import Predicted, gather
from app.screening.ranking import Ranked, rank
from app.screening.scoring import score
from app.screening.table import counts, result_table
from app.screening.wish import ScreeningWish
from app.screening.writing import cif_text
from app.structures.crystal import Crystal

WISH_FILE = "wish.json"
TABLE_FILE = "results.parquet"
STRUCTURES_FILE = "structures.zip"
COUNTS_FILE = "counts.json"

_NAME_LENGTH = 80


def write_wish(folder: RunFolder, wish: ScreeningWish) -> None:
    (folder.path / WISH_FILE).write_text(wish.model_dump_json())


def read_wish(folder: RunFolder) -> ScreeningWish:
    return ScreeningWish.model_validate_json((folder.path / WISH_FILE).read_text())


def read_counts(folder: RunFolder) -> dict[str, int]:
    """Of the statuses; raises FileNotFoundError before `select` has ended."""
    found: dict[str, int] = json.loads((folder.path / COUNTS_FILE).read_text())
    return found


def select(folder: RunFolder) -> None:
    """Rank what all parts hold; write the table, the structures of those selected if they have any, last the counts."""
    run, wish = folder.run(), read_wish(folder)
    found = gather([read_part(folder.part_path(info.number)) for info in folder.parts()], run.models)
    keys = [use.property for use in run.models]
    scores = score(found, keys, _trusts(folder, run), wish)
    ranked = rank(found, scores, wish)
    table = result_table(found, scores, ranked, run.models, wish)
    pq.write_table(table, folder.path / TABLE_FILE, compression="zstd", write_page_checksum=True)
    _write_structures(folder, run, found, ranked)
    partial = folder.path / f"{COUNTS_FILE}.partial"
    partial.write_text(json.dumps(counts(ranked)))
    os.replace(partial, folder.path / COUNTS_FILE)


def _trusts(folder: RunFolder, run: BulkRun) -> list[Trust | None]:
    contents = [folder.trust(place) for place in range(len(run.models))]
    return [
        load_trust(model.manifest, content) if content is not None else None
        for model, content in zip(folder.models(run), contents, strict=True)
    ]


def _write_structures(folder: RunFolder, run: BulkRun, found: Predicted, ranked: Ranked) -> None:
    """A CIF for each selected crystal, named by rank and id; no file where there is none."""
    path = folder.path / STRUCTURES_FILE
    path.unlink(missing_ok=True)
    selected = ranked.order[: ranked.n_selected].tolist()
    wanted = {(int(found.rows[row]), found.ids[row]): place + 1 for place, row in enumerate(selected)}
    texts = {}
    lines = {line for line, _ in wanted}
    for row in read_rows(folder.input_path(run), run.input, run.limits):
        for entry in read_row(row, ()) if row.line in lines else ():
            place = wanted.get((row.line, entry.input_id))
            if place is not None and isinstance(entry.item, Crystal):
                texts[place] = (entry.input_id, cif_text(entry.item, entry.input_id))
    if not texts:
        return
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for place in sorted(texts):
            name, text = texts[place]
            archive.writestr(f"{place:05d}_{_file_name(name)}.cif", text)


def _file_name(name: str) -> str:
    """Safe in every file system."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in name)[:_NAME_LENGTH]
