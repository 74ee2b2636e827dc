"""From rows as sent to usable rows and the validation report."""

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace

from app.datasets.findings import (
    are_equal,
    count_elements,
    drop_duplicates,
    elements_of,
    find_conflicts,
    find_outliers,
    find_similar,
    formula_of,
    label_statistics,
    labels_look_like_log10,
)
from app.datasets.mixed_units import MixedUnits, find_mixed_units
from app.datasets.report import MAX_LISTED, RowFailure, UnseenElements, ValidationReport
from app.datasets.rows import RawTable
from app.datasets.validation import UsableRow, validate_rows
from app.properties.catalogue import PropertySpec
from app.registry.manifest import InputKind
from app.structures.crystal import Crystal

MIN_USABLE_ROWS = 20
FEW_ROWS = 50


@dataclass(frozen=True, slots=True)
class Inspection:
    """The rows to store and what was found in the file."""

    rows: list[UsableRow]
    report: ValidationReport


def inspect_table(table: RawTable, spec: PropertySpec) -> Inspection:
    """Validate every row; never raises for what a row holds."""
    valid, failures = validate_rows(table.rows, spec)
    rows, duplicates = drop_duplicates(valid)
    conflicts, outliers, similar = find_conflicts(rows), find_outliers(rows, spec), find_similar(rows)
    report = ValidationReport(
        format=table.format,
        input_kind=_input_kind(rows),
        input_column=table.input_column,
        label_column=table.label_column,
        n_rows=len(table.rows),
        n_usable=len(rows),
        n_failed=len(failures),
        n_duplicates=len(duplicates),
        n_conflicts=len(conflicts),
        n_outliers=len(outliers),
        n_formulas=len({formula_of(row.item) for row in rows}),
        failures=failures[:MAX_LISTED],
        failure_counts=dict(Counter(failure.code for failure in failures).most_common()),
        duplicates=duplicates[:MAX_LISTED],
        similar=similar[:MAX_LISTED],
        conflicts=conflicts[:MAX_LISTED],
        outliers=outliers[:MAX_LISTED],
        labels=label_statistics(rows, spec),
        elements=count_elements(rows),
        unseen_elements=[],
        warnings=[*table.notes, *_warnings(table, rows, failures, spec)],
    )
    refused = _refused(report, find_mixed_units(table.rows, rows, spec), spec.unit)
    return Inspection(rows, report.model_copy(update={"refused": refused}))


def with_champions(inspection: Inspection, seen: Mapping[tuple[str, int], Set[str]]) -> Inspection:
    """The inspection with the elements that each of these model versions never saw; keys are (name, version)."""
    present = set(inspection.report.elements)
    unseen = [
        UnseenElements(
            model=name,
            version=version,
            elements=sorted(present - known),
            n_rows=sum(1 for row in inspection.rows if not set(elements_of(row.item)) <= known),
        )
        for (name, version), known in seen.items()
        if present - known
    ]
    return replace(inspection, report=inspection.report.model_copy(update={"unseen_elements": unseen}))


def _reasons_of(failures: Sequence[RowFailure]) -> str:
    """How many rows failed for which reason, the most frequent first, and one of them in full."""
    counts = Counter(failure.code for failure in failures).most_common()
    first = next(failure for failure in failures if failure.code == counts[0][0])
    named = ", ".join(f"{count} {code}" for code, count in counts)
    return f"{named} (line {first.line}: {first.detail.rstrip('.')})"


def _refused(report: ValidationReport, mixed: MixedUnits | None, unit: str) -> str | None:
    """Why the rows cannot be learned from."""
    labels = report.labels
    if mixed is not None:
        return (
            f"The labels seem to be in two units: {mixed.share:.0%} of them (such as {mixed.example:.4g}) look as if "
            f"in {mixed.unit}, the others (such as {mixed.other:.4g}) in {unit}. Send all in {unit}. Should they be "
            "right as they are, send them as a property of your own."
        )
    if report.n_usable < MIN_USABLE_ROWS:
        return _too_few(report)
    if labels is not None and are_equal(labels):
        return f"All labels are {labels.min:g} {labels.unit}: nothing can be learned."
    return None


def _too_few(report: ValidationReport) -> str:
    if report.n_rows == 0:
        return "The file has no rows of data."
    said = [f"{report.n_usable} of {report.n_rows} rows can be used; at least {MIN_USABLE_ROWS} are needed."]
    if report.n_duplicates:
        said.append(f"{report.n_duplicates} repeat others, with the same label.")
    if report.failures and not any("cannot be used: " in warning for warning in report.warnings):
        said.append(f"{report.n_failed} cannot be used: {_reasons_of(report.failures)}.")
    return " ".join([*said, *report.warnings])


def _input_kind(rows: Sequence[UsableRow]) -> InputKind | None:
    if not rows:
        return None
    return InputKind.STRUCTURE if isinstance(rows[0].item, Crystal) else InputKind.COMPOSITION


def _warnings(
    table: RawTable, rows: Sequence[UsableRow], failures: Sequence[RowFailure], spec: PropertySpec
) -> list[str]:
    warnings = []
    if labels_look_like_log10(table.rows, spec):
        warnings.append(
            f"All labels are small: they look like log10 of the {spec.label}. Send the values themselves, in "
            f"{spec.unit}; the logarithm is taken here."
        )
    if MIN_USABLE_ROWS <= len(rows) < FEW_ROWS:
        warnings.append(f"Only {len(rows)} rows can be used: a model from fewer than {FEW_ROWS} will be rough.")
    if len(failures) > 0.1 * len(table.rows):
        warnings.append(f"{len(failures)} of {len(table.rows)} rows cannot be used: {_reasons_of(failures)}.")
    repeated = [row_id for row_id, count in Counter(row.row_id for row in table.rows).items() if count > 1]
    if repeated:
        warnings.append(
            f"{len(repeated)} ids occur more than once, e.g. {repeated[0]!r}: the later rows got ~2 at the end."
        )
    return warnings
