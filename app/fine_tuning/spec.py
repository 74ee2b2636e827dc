"""What a fine-tuning job is to do, as it is kept in SQL: every choice made, every reference pinned."""

from pydantic import BaseModel, ConfigDict

from app.learning.hyperparameters import Hyperparameters
from app.learning.methods import Method
from app.registry.manifest import Architecture, InputKind, PropertyRecord


class BaseModelVersion(BaseModel):
    """The model version a job starts from, as it was when the job was made."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    version: int
    sha256: str


class FineTuningSpec(BaseModel):
    """`sources` are models that the method `auto` may use; `input_kind` is what the rows of the data set hold."""

    model_config = ConfigDict(frozen=True)

    dataset_id: str
    dataset_name: str
    dataset_sha256: str
    dataset_path: str
    n_rows: int
    model_name: str
    architecture: Architecture
    method: Method
    property: PropertyRecord
    hyperparameters: Hyperparameters
    seed: int
    base: BaseModelVersion | None
    sources: tuple[BaseModelVersion, ...] = ()
    input_kind: InputKind | None = None
