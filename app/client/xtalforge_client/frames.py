"""Tables: which column holds the materials, and answers as a `pandas.DataFrame`. pandas is imported when it is used."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from xtalforge_client.errors import UnusableInput, XtalforgeClientError
from xtalforge_client.materials import NamedInput, contents_of
from xtalforge_client.models import Prediction, PredictionAnswer, PredictionError

if TYPE_CHECKING:
    import pandas as pd

MATERIAL_COLUMNS = ("cif", "poscar", "structure", "composition", "formula")
_COLUMNS = (
    "input_id", "property", "value", "lower", "upper", "unit", "model", "version", "in_domain", "domain_score",
    "error_code", "error_detail",
)  # fmt: skip


def to_frame(answer: PredictionAnswer) -> "pd.DataFrame":
    """One row for each input and model, and one for each error, where `value` is NaN."""
    rows = [_value_row(each) for each in answer.predictions] + [_error_row(each) for each in answer.errors]
    frame: pd.DataFrame = _pandas().DataFrame(rows, columns=list(_COLUMNS))
    return frame


def _value_row(prediction: Prediction) -> dict[str, Any]:
    interval, domain = prediction.interval, prediction.domain
    return {
        "input_id": prediction.input_id,
        "property": prediction.property,
        "value": prediction.value,
        "lower": interval.lower if interval else None,
        "upper": interval.upper if interval else None,
        "unit": prediction.unit,
        "model": prediction.model.name,
        "version": prediction.model.version,
        "in_domain": domain.in_domain if domain else None,
        "domain_score": domain.score if domain else None,
    }


def _error_row(error: PredictionError) -> dict[str, Any]:
    model = {"model": error.model.name, "version": error.model.version} if error.model else {}
    return {"input_id": error.input_id, **model, "error_code": error.code, "error_detail": error.detail}


def rows_of(frame: "pd.DataFrame", column: str | None) -> tuple[list[NamedInput], dict[str, str]]:
    """The materials in a table, named by row, and why a row holds none.

    Raises UnusableInput when it is not known which column holds them.
    """
    if column is None:
        lower = {str(name).lower(): name for name in frame.columns}
        found = [lower[name] for name in MATERIAL_COLUMNS if name in lower]
        if not found:
            raise UnusableInput(f"no column is called {', '.join(MATERIAL_COLUMNS)}: name the one with materials.")
        column = found[0]
    elif column not in frame.columns:
        raise UnusableInput(f"there is no column {column!r}; there are: {', '.join(map(str, frame.columns))}.")
    inputs, failed = [], {}
    for row, material in enumerate(frame[column]):
        try:
            inputs += [NamedInput(str(row), content) for _, content in contents_of(material)]
        except UnusableInput as error:
            failed[str(row)] = str(error)
    return inputs, failed


def joined(frame: "pd.DataFrame", answer: PredictionAnswer) -> "pd.DataFrame":
    """A copy of the table with the answer's columns, which is keyed by row number.

    For each property `P`: `P`, `P_lower`, `P_upper`, `P_in_domain`; where several models answer for it, `P` becomes
    `P NAME/VERSION`. Units are in `result.attrs["units"]`. What gave no value is NaN, and `error` says why.
    """
    names = _column_names(answer.predictions)
    columns: dict[str, dict[int, Any]] = {}
    errors = {}
    for each in answer.predictions:
        name, row = names[_key(each)], int(each.input_id.partition("#")[0])
        if row in columns.setdefault(name, {}):
            errors[row] = "holds several crystals; the values are those of the first"
            continue
        columns[name][row] = each.value
        if each.interval:
            columns.setdefault(f"{name}_lower", {})[row] = each.interval.lower
            columns.setdefault(f"{name}_upper", {})[row] = each.interval.upper
        if each.domain:
            columns.setdefault(f"{name}_in_domain", {})[row] = each.domain.in_domain
    for error in answer.errors:
        row = int(error.input_id.partition("#")[0])
        errors[row] = f"{errors[row]}; {error.detail}" if row in errors else error.detail
    if errors:
        columns["error"] = errors
    result = frame.copy()
    for name, cells in columns.items():
        result[name] = _pandas().Series([cells.get(i) for i in range(len(frame))], index=frame.index)
    result.attrs["units"] = {names[_key(each)]: each.unit for each in answer.predictions}
    return result


def _key(prediction: Prediction) -> tuple[str, str, int]:
    return prediction.property, prediction.model.name, prediction.model.version


def _column_names(predictions: Iterable[Prediction]) -> dict[tuple[str, str, int], str]:
    keys = list(dict.fromkeys(map(_key, predictions)))
    shared = {prop for prop, *_ in keys if sum(prop == other for other, *_ in keys) > 1}
    return {key: f"{key[0]} {key[1]}/{key[2]}" if key[0] in shared else key[0] for key in keys}


def _pandas() -> Any:
    try:
        import pandas as pd
    except ImportError:
        raise XtalforgeClientError("tables need pandas: pip install 'xtalforge-client[pandas]'") from None
    return pd
