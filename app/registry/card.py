"""The model card in Markdown, made from the manifest alone."""

from app.registry.manifest import Manifest, SplitMetrics


def render_card(manifest: Manifest) -> str:
    """What the model predicts, from what it was trained, how wrong it is, and how to repeat it."""
    target, training = manifest.property, manifest.training
    lines = [
        f"# {manifest.name}",
        "",
        manifest.description or f"Predicts {target.label} from a {manifest.input_kind.value}.",
        "",
        f"* Property: **{target.label}** (`{target.key}`), in {target.unit}. {target.definition}",
        f"* Input: {manifest.input_kind.value}. Architecture: {manifest.architecture.value}.",
        f"* Method: `{training.method}`"
        + (f", from {manifest.parent.name}/{manifest.parent.version}." if manifest.parent else "."),
    ]
    if manifest.scope:
        lines.append(f"* Limits: {manifest.scope}")
    lines += ["", "## Measured error", "", *_metrics_table(manifest), "", "## Training data", ""]
    lines.append(f"* {training.dataset}" + (f", sha256 `{training.dataset_sha256}`" if training.dataset_sha256 else ""))
    if training.licence:
        lines.append(f"* Licence of the data: {training.licence}")
    lines.append(f"* Split: {training.split}; {training.n_train} / {training.n_val} / {training.n_test} rows.")
    lines += [f"* {text}" for text in training.filters]
    lines.append(f"* {len(manifest.elements)} elements: {' '.join(manifest.elements)}.")
    lines.append("* Other elements were never seen: predictions for them are not to be trusted.")
    lines += ["", "## How it was trained", ""]
    if training.command:
        lines += ["```", training.command, "```", ""]
    lines.append(
        f"Best of {training.epochs} epochs: {training.best_epoch}. Seed {training.seed}, device {training.device}"
        + (f", {training.wall_s:.0f} s." if training.wall_s else ".")
    )
    chosen = {k: v for k, v in training.hyperparameters.items() if v is not None}
    lines += ["", "| hyperparameter | value |", "|---|---|", *(f"| {k} | {_number(v)} |" for k, v in chosen.items())]
    lines += ["", f"Weights: sha256 `{manifest.weights_sha256}`, {manifest.weights_bytes} bytes.", ""]
    return "\n".join(lines)


def _metrics_table(manifest: Manifest) -> list[str]:
    unit = manifest.property.unit
    logarithmic = manifest.metrics.test is not None and manifest.metrics.test.mae_transformed is not None
    head = f"| split | rows | MAE ({unit}) | RMSE | R2 | largest | MAD of labels |"
    rule = "|---|---|---|---|---|---|---|"
    if logarithmic:
        head, rule = head + f" MAE {manifest.property.transform.value} |", rule + "---|"
    rows = []
    for name in ("train", "val", "test"):
        found: SplitMetrics | None = getattr(manifest.metrics, name)
        if found is None:
            continue
        cells = [name, str(found.n), *(_number(v) for v in (found.mae, found.rmse, found.r2, found.max_error, found.mad))]
        if logarithmic:
            cells.append(_number(found.mae_transformed))
        rows.append("| " + " | ".join(cells) + " |")
    return [head, rule, *rows]


def _number(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "-" if value is None else str(value)
