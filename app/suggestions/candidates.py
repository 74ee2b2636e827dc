"""Where candidates come from: a request, a data set, rows of a table."""

from collections.abc import Sequence

from sqlalchemy.orm import Session, sessionmaker

from app.core.db import open_session
from app.core.errors import InvalidInput, TooManyInputs
from app.core.settings import Settings
from app.datasets.rows import RawRow, RowKind
from app.datasets.service import DatasetService
from app.predictions.inputs import Formula, RawInput, StructureText, Unreadable, raw_inputs
from app.predictions.schemas import PredictionInput
from app.registry.store import ArtifactStore
from app.structures.detect import StructureFormat
from app.suggestions.schemas import MAX_DATASET_CANDIDATES


class Candidates:
    """Those of a request or a data set; what cannot be used stays among them and says so later."""

    def __init__(self, sessions: sessionmaker[Session], store: ArtifactStore, settings: Settings) -> None:
        self._sessions = sessions
        self._store = store
        self._settings = settings

    def given(self, candidates: Sequence[PredictionInput]) -> list[RawInput]:
        """Those of a JSON request. Raises TooManyInputs, InvalidRequest where two have one id."""
        most = self._settings.limits.max_inputs_per_request
        if len(candidates) > most:
            raise TooManyInputs(
                f"One request may have {most:,} candidates; this one has {len(candidates):,}. Upload them as a data "
                "set, or use `xtalforge suggest`.",
                limit=most,
            )
        return raw_inputs(candidates)

    def stored(self, dataset_id: str) -> list[RawInput]:
        """The rows of a data set. Raises DatasetNotFound, TooManyInputs, ArtifactCorrupt."""
        with open_session(self._sessions, read_only=True) as session:
            datasets = DatasetService(session, self._store, self._settings)
            dataset = datasets.get(dataset_id)
            if dataset.n_rows > MAX_DATASET_CANDIDATES:
                raise TooManyInputs(
                    f"Data set {dataset.id} has {dataset.n_rows:,} rows; {MAX_DATASET_CANDIDATES:,} can be ranked in "
                    "one request. `xtalforge suggest` takes more.",
                    limit=MAX_DATASET_CANDIDATES,
                )
            return [candidate_of(row) for row in datasets.load_texts(dataset)]


def candidate_of(row: RawRow) -> RawInput:
    """What a row holds; its label is not looked at."""
    if row.problem is not None:
        return RawInput(row.row_id, Unreadable(InvalidInput(row.problem[1])))
    if row.kind is RowKind.COMPOSITION:
        return RawInput(row.row_id, Formula(row.text))
    fmt = None if row.kind is RowKind.UNKNOWN else StructureFormat(row.kind.value)
    return RawInput(row.row_id, StructureText(row.text, fmt))
