"""Which models answer: exactly one for each property."""

from collections.abc import Sequence

from app.bulk.choosing import choose_models
from app.bulk.inputs import InputFile
from app.bulk.schemas import ModelChoice
from app.core.errors import InputKindMismatch, InvalidRequest
from app.predictions.selection import Models, SelectedModel
from app.properties.catalogue import Transform
from app.registry.manifest import InputKind
from app.screening.wish import ScreeningWish


def choose_for(
    directory: Models, wish: ScreeningWish, found: InputFile, input_kind: InputKind | None = None
) -> list[SelectedModel]:
    """Of each property the model that is named, else its champion for such inputs; in the order of the wish.

    Raises InvalidRequest where two predict one property, or a bound is one that no value can have, and what
    `choose_models` raises.
    """
    by_property: dict[str, list[SelectedModel]] = {}
    if wish.models is not None:
        for model in choose_models(directory, ModelChoice(models=list(wish.models)), found, input_kind):
            by_property.setdefault(model.manifest.property.key, []).append(model)
    missing = [key for key in wish.property_keys if key not in by_property]
    for key in missing:
        champions = choose_models(directory, ModelChoice(properties=[key]), found, input_kind)
        # Candidates may be anything: a model for some materials only answers where no other does, or when named.
        by_property[key] = [model for model in champions if not model.manifest.scope] or champions
    for key, models in by_property.items():
        _require_one(key, models)
    _refuse_impossible(wish, by_property)
    order = [*wish.property_keys, *(key for key in by_property if key not in wish.property_keys)]
    return [by_property[key][0] for key in order]


def _require_one(key: str, models: Sequence[SelectedModel]) -> None:
    if not models:
        raise InputKindMismatch(f"No model of {key} takes such inputs.")
    if len(models) > 1:
        names = ", ".join(model.label for model in models[:5])
        raise InvalidRequest(f"Several models would predict {key} ({names}): name one of them in `models`.")


def _refuse_impossible(wish: ScreeningWish, by_property: dict[str, list[SelectedModel]]) -> None:
    bounds = [(c.property, bound) for c in wish.constraints for bound in (c.at_least, c.at_most)]
    bounds += [(objective.property, objective.target) for objective in wish.objectives]
    for key, bound in bounds:
        record = by_property[key][0].manifest.property
        if bound is not None and bound <= 0 and record.transform is Transform.LOG10:
            raise InvalidRequest(
                f"{key} is positive and learned as its logarithm: {bound:g} {record.unit} is no bound or target for it."
            )
