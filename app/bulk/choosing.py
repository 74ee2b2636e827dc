"""Which models answer a file."""

from app.bulk.inputs import InputFile
from app.bulk.schemas import ModelChoice
from app.core.errors import InputKindMismatch
from app.datasets.rows import RowKind
from app.predictions.selection import Models, SelectedModel
from app.registry.manifest import InputKind


def choose_models(
    directory: Models, choice: ModelChoice, found: InputFile, input_kind: InputKind | None = None
) -> list[SelectedModel]:
    """All that were asked for by name, else those of the chosen ones that take such inputs.

    `input_kind` is what the rows hold where the columns do not say it. Raises InputKindMismatch when no model can
    answer any row, and the errors of `ModelDirectory.select`.
    """
    is_formulas = found.columns is not None and found.columns.kind is RowKind.COMPOSITION
    kind = input_kind or (InputKind.COMPOSITION if is_formulas else InputKind.STRUCTURE)
    chosen = directory.select(choice.models, choice.properties)
    # Of a structure the composition can be taken, which is done for models asked for by name.
    if not any(m.manifest.input_kind is kind or (kind is InputKind.STRUCTURE and m.is_named) for m in chosen):
        names = ", ".join(model.label for model in chosen[:5])
        raise InputKindMismatch(
            f"The file holds a {kind} in each row; the models that would answer take other inputs ({names})."
        )
    return [model for model in chosen if model.is_named or model.manifest.input_kind is kind]
