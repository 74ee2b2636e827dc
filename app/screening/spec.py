"""What a screening is to do, as it is kept in SQL: every reference pinned."""

from pydantic import BaseModel, ConfigDict

from app.bulk.spec import BulkSpec
from app.screening.generator import Generator
from app.screening.wish import ScreeningWish

SELECTING_EVENT = "selecting"
GENERATED_EVENT = "generated"
SPEC_FILE = "screening.json"
"""In the folder of an attempt."""

RESULT_PATH, STRUCTURES_PATH = "result_path", "structures_path"
"""In the result of a job: places of the table and of the zip in the artifact store; the latter may be null."""


class ScreeningSpec(BaseModel):
    """Predictions of every property that is asked about, and the choice among them.

    With a `generator` the worker makes the input of the predictions, and stores it at its path.
    """

    model_config = ConfigDict(frozen=True)

    predictions: BulkSpec
    wish: ScreeningWish
    generator: Generator | None = None
