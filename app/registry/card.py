"""Model cards: what a model predicts, how well, on what it was trained, and where it should not be used."""

from collections.abc import Sequence
from math import floor
from typing import Any

from app.registry.manifest import (
    Coverage,
    FamilyErrors,
    Manifest,
    PretextRecord,
    SplitMetrics,
    TargetScaling,
    TrainingRecord,
    TrustRecord,
)
from app.structures.elements import MAX_ATOMIC_NUMBER, SYMBOLS

_ASKED = "- **Answers:** only requests that name it; others get the model that answers its property by default."
_KNOWN_ELEMENTS = SYMBOLS[1 : MAX_ATOMIC_NUMBER + 1]


def render_card(manifest: Manifest) -> str:
    """The card as Markdown, written from the manifest alone."""
    parts = [
        _heading(manifest),
        _accuracy(manifest),
        _trust(manifest),
        _training(manifest.training, manifest.scaling, manifest.property.unit),
        _limits(manifest),
        _weights(manifest),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _heading(manifest: Manifest) -> str:
    prop = manifest.property
    lines = [
        f"# {manifest.name}",
        manifest.description,
        "\n".join(
            [
                f"- **Predicts:** {prop.label} (`{prop.key}`), {prop.unit}. {prop.definition}",
                f"- **From:** a {manifest.input_kind.value}",
                f"- **Architecture:** {manifest.architecture.value}",
                *([f"- **Use it on:** {manifest.scope}"] if manifest.scope else []),
                *([_ASKED] if manifest.only_when_named else []),
                f"- **Made:** {manifest.created_at:%Y-%m-%d}",
            ]
        ),
    ]
    return "\n\n".join(line for line in lines if line)


def _accuracy(manifest: Manifest) -> str:
    unit = manifest.property.unit
    splits = {"test": manifest.metrics.test, "validation": manifest.metrics.val, "training": manifest.metrics.train}
    known = {name: metrics for name, metrics in splits.items() if metrics is not None}
    if not known:
        return "## Accuracy\n\nNot measured."
    header = (
        f"## Accuracy\n\n| split | rows | MAE ({unit}) | RMSE ({unit}) | largest error ({unit}) | R² | MAE of "
        f"answering the mean ({unit}) |\n|---|---|---|---|---|---|---|"
    )
    rows = "\n".join(_accuracy_row(name, metrics) for name, metrics in known.items())
    learned = manifest.metrics.test.mae_transformed if manifest.metrics.test else None
    note = (
        f"\n\nOn the learned scale, {manifest.property.transform.value} of the value, the test MAE is {learned:.4g}."
        if learned is not None
        else ""
    )
    return f"{header}\n{rows}{note}{_totals(manifest.metrics.test)}"


def _totals(test: SplitMetrics | None) -> str:
    if test is None or test.mae_total is None or test.within_chemical_accuracy is None:
        return ""
    return (
        f"\n\nOf the energy of whole cells the test MAE is {test.mae_total:.4g} eV; "
        f"{test.within_chemical_accuracy:.1%} are within chemical accuracy (1 kcal/mol)."
    )


def _accuracy_row(name: str, m: SplitMetrics) -> str:
    r2 = f"{m.r2:.3f}" if m.r2 is not None else "–"
    return f"| {name} | {m.n:,} | {m.mae:.4g} | {m.rmse:.4g} | {m.max_error:.4g} | {r2} | {m.mad:.4g} |"


def _trust(manifest: Manifest) -> str:
    known, unit = manifest.trust, manifest.property.unit
    if known is None:
        return ""
    lines = [
        f"- **Intervals:** conformal, their width set by {known.n_calibration:,} rows: {known.calibrated_on}. Levels "
        f"up to {floor(1000 * known.highest_level) / 1000:g}.",
        _coverage("Coverage", known.coverage, unit, known.measured_on),
        *(
            [_coverage("Of formulas that are in no training row", known.coverage_new_formulas, unit, "")]
            if known.coverage_new_formulas is not None
            else []
        ),
        f"- **Domain:** {known.flagged:.1%} of the test rows count as unlike the training data{_outside(known, unit)}; "
        "of training rows compared with those that lack one of their elements, "
        f"{_share(known.flagged_left_out_elements)}.",
        *_growth(known, unit),
        *([f"- **Repeat it:** `{known.command}`"] if known.command else []),
    ]
    return "## Trust\n\n" + "\n".join(lines) + _families(known.families, unit)


def _coverage(name: str, found: Coverage | None, unit: str, measured_on: str) -> str:
    if found is None:
        return f"- **{name}:** not measured, there are too few rows"
    rows = f"; {measured_on}" if measured_on else ""
    return (
        f"- **{name}:** intervals of level 0.9 hold {found.share:.1%} of {found.n:,} labels, mean width "
        f"{found.mean_width:.4g} {unit}{rows}"
    )


def _outside(known: TrustRecord, unit: str) -> str:
    if known.mae_inside is None or known.mae_outside is None:
        return ""
    return f" (MAE {known.mae_outside:.4g} {unit}, of the others {known.mae_inside:.4g})"


def _growth(known: TrustRecord, unit: str) -> list[str]:
    if not known.mae_by_score:
        return []
    parts = ", ".join(f"{mae:.4g}" for mae in known.mae_by_score)
    ranks = ", ".join(
        f"{rank:.2f} of the error with {name}"
        for rank, name in (
            (known.rank_correlation, "the score"),
            (known.rank_correlation_expected, "the expected error, which sets the width of an interval"),
        )
        if rank is not None
    )
    text = (
        f"- **Error and domain score:** MAE of four equal parts of the test rows, lowest scores first: {parts} {unit}"
    )
    return [text + (f"; rank correlations: {ranks}" if ranks else "")]


def _share(share: float | None) -> str:
    return "not measured" if share is None else f"{share:.1%}"


def _families(families: Sequence[FamilyErrors], unit: str) -> str:
    if not families:
        return ""
    header = f"\n\n| family (by its first anion) | test rows | MAE ({unit}) | within intervals of level 0.9 |"
    return f"{header}\n|---|---|---|---|\n" + "\n".join(
        f"| {f.family} | {f.n:,} | {f.mae:.4g} | {f.covered:.1%} |" for f in families
    )


def _training(record: TrainingRecord, scaling: TargetScaling, unit: str) -> str:
    lines = [
        f"- **Data:** {record.dataset}" + (f" (sha256 `{record.dataset_sha256}`)" if record.dataset_sha256 else ""),
        *([f"- **Licence of the data:** {record.licence}"] if record.licence else []),
        f"- **Rows:** {_rows(record)}",
        f"- **Split:** {record.split}",
        *(f"- **Left out:** {rule}" for rule in record.filters),
        *([_pretext(record.pretext)] if record.pretext is not None else []),
        f"- **Method:** `{record.method}`" + (f", seed {record.seed}" if record.seed is not None else ""),
        *([_epochs(record)] if record.epochs else []),
        *([f"- **Chosen by a search:** {_chosen(record.search, scaling, unit)}"] if record.search else []),
        *([f"- **Wall time:** {record.wall_s:,.0f} s on {record.device}"] if record.wall_s is not None else []),
        *([f"- **Repeat it:** `{record.command}`"] if record.command else []),
    ]
    return "## Training\n\n" + "\n".join(lines)


def _epochs(record: TrainingRecord) -> str:
    if (n_members := record.hyperparameters.get("members") or 1) > 1:
        return f"- **Epochs:** {record.epochs} at most, of each of {n_members} networks, whose mean it is"
    return f"- **Epochs:** {record.epochs}, the weights are those of epoch {record.best_epoch}"


def _pretext(learned: PretextRecord) -> str:
    return (
        f"- **Before any label:** it learned to tell noise of {learned.spread:g} Å from the lengths of bonds, and "
        f"{learned.hidden_share:.0%} of the elements, which were hidden, in {learned.n_train:,} training structures "
        f"({learned.epochs} epochs, {learned.wall_s:,.0f} s). In validation structures the error of the noise is "
        f"{learned.noise_missed:.2f} of its spread (knowing nothing: 0.80), and {learned.elements_found:.1%} of the "
        "hidden elements are named"
    )


def _chosen(search: dict[str, Any], scaling: TargetScaling, unit: str) -> str:
    if search.get("kind") == "tournament":
        return _winner(search, unit)
    if "layer" in search:
        errors = ", ".join(f"{error:.4g} with {name}" for name, error in search["validation_errors"].items())
        return f"layer {search['layer']}; validation errors on the learned scale {errors}"
    parameters = ", ".join(f"{name} {value:.4g}" for name, value in search.get("parameters", {}).items())
    # What is searched with are standardised labels, or the paper's squashed ones, which have no such factor.
    factor, scale = (1.0, "squashed labels") if scaling.kind == "tanh" else (scaling.std, "the learned scale")
    mae, std = factor * search.get("cv_mae", 0), factor * search.get("cv_std", 0)
    parts = [
        f"{search.get('family')} ({parameters})",
        f"cross-validated MAE on {scale} {mae:.4g} ± {std:.2g}",
        f"{search.get('n_compared')} compared",
        *search.get("notes", []),
    ]
    return "; ".join(parts)


def _winner(search: dict[str, Any], unit: str) -> str:
    winner = search["winner"]
    members = sorted(winner["members"].items(), key=lambda member: -member[1])
    made_of = ", ".join(f"{weight:.0%} {name}" for name, weight in members)
    n_left = len(search["left_out"])
    return (
        f"{winner['name']} of {len(search['entrants'])} methods that played all folds"
        + (f" ({n_left} did not)" if n_left else "")
        + (f": {made_of}" if len(members) > 1 else "")
        + f"; cross-validated MAE {winner['mae']:.4g} {unit}. {search['reason']}"
    )


def _rows(record: TrainingRecord) -> str:
    if not record.n_train:
        return "not recorded"
    return f"{record.n_train:,} training, {record.n_val:,} validation, {record.n_test:,} test"


def _limits(manifest: Manifest) -> str:
    reach = "- The errors above hold for materials like those of the test rows; far from them they are larger."
    if manifest.trust is not None:
        reach = "- Errors and intervals above hold for materials like those of the test rows; far from them errors are "
        reach += "larger, and intervals hold less than they say. `domain` in the answer tells how far an input is."
    lines = [
        f"- {_elements(manifest.elements)}",
        *([reach] if manifest.metrics.test is not None else []),
        "- Labels are those of the data: the prediction carries their systematic errors too.",
    ]
    return "## Limits\n\n" + "\n".join(lines)


def _elements(elements: Sequence[str]) -> str:
    if not elements:
        return "Which elements it saw in training is not recorded, so predictions do not say where it guesses."
    seen = set(elements)
    unseen = [symbol for symbol in _KNOWN_ELEMENTS if symbol not in seen]
    return (
        f"It saw {len(seen)} elements in training. Not among them: {', '.join(unseen) or 'none'}. A prediction "
        "for a material with such an element is a guess."
    )


def _weights(manifest: Manifest) -> str:
    lines = [f"- **sha256:** `{manifest.weights_sha256}` ({manifest.weights_bytes:,} bytes, safetensors)"]
    if manifest.parent is not None:
        parent = manifest.parent
        if parent.weights_sha256 == manifest.weights_sha256:
            lines.append(f"- **Same weights as:** {parent.name}/{parent.version}, which has no intervals")
        else:
            lines.append(f"- **Started from:** {parent.name}/{parent.version} (sha256 `{parent.weights_sha256}`)")
    return "## Weights\n\n" + "\n".join(lines)
