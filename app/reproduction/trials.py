"""One trial: what it is, the key its result is stored under, and the model it starts from."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from app.core.errors import NotFound
from app.learning.hyperparameters import Hyperparameters
from app.learning.methods import Method
from app.learning.preset_tables import YOUNGER
from app.learning.presets import resolve_hyperparameters
from app.learning.source_rows import file_digest
from app.learning.transfer import Base
from app.registry.manifest import MANIFEST_FILE, WEIGHTS_FILE, Manifest, Parent
from app.reproduction.protocols import Protocol, Source, System, Target

RULES = 1
"""To be raised when code changes what trials give: results of other rules are measured anew."""
TOURNAMENT_RULES = 2
"""The same of `auto`, whose hyperparameters do not say what its entrants train with."""

LATER = YOUNGER | {"kept_weights": "best"}
"""Hyperparameters that came later, with what trainings did before: those are the trials they were."""


class SourceMissing(NotFound):
    code, title = "source_missing", "A source model is not there"


@dataclass(frozen=True, slots=True)
class Places:
    """Folders: source data, shipped models, work in progress (states and trained sources)."""

    kit: Path
    models: Path
    work: Path

    @property
    def sources(self) -> Path:
        return self.work / "sources"


@dataclass(frozen=True, slots=True)
class Trial:
    """A system on the rows of one seed. `identity` is all that changes its result; `key` its digest."""

    target: Target
    system: System
    seed: int
    hyperparameters: Hyperparameters
    identity: dict[str, Any]

    @property
    def key(self) -> str:
        text = json.dumps(self.identity, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:24]

    def __str__(self) -> str:
        strict = ", strict" if self.system.strict else ""
        return f"{self.target.name}, {self.system.line}{strict}, seed {self.seed}"


@dataclass(frozen=True, slots=True)
class Start:
    """What a trial starts from: weights of its source, and by name those of the sources it may use."""

    is_same_property: bool = False
    source_sha256: str | None = None
    candidates: Mapping[str, str] = field(default_factory=dict)


def make_trial(protocol: Protocol, target: Target, system: System, seed: int, places: Places) -> Trial:
    """Raises SourceMissing, FileNotFoundError for a data file, and InvalidJob for settings that contradict."""
    source = None if system.source is None else read_manifest(protocol, system.source, places)
    start = Start(
        source is not None and source.property.key == target.property_key,
        None if source is None else source.weights_sha256,
        {name: read_manifest(protocol, name, places).weights_sha256 for name in system.candidates},
    )
    return trial_from(start, protocol, target, system, seed, places)


def is_of_source_elsewhere(
    key: str, recorded: Mapping[str, Any], protocol: Protocol, target: Target, system: System, places: Places
) -> bool:
    """Whether a stored result is the system's as it is now, but for weights of sources that are not on this machine."""
    if (recorded["target"], recorded["line"], recorded["strict"]) != (target.name, system.line, system.strict):
        return False
    weights = recorded["source_sha256"], recorded.get("candidates", {})
    starts = [Start(is_same_property, *weights) for is_same_property in (False, True)]
    return any(trial_from(each, protocol, target, system, recorded["seed"], places).key == key for each in starts)


def trial_from(start: Start, protocol: Protocol, target: Target, system: System, seed: int, places: Places) -> Trial:
    """Raises FileNotFoundError for a data file, and InvalidJob for settings that contradict."""
    n = target.n_rows
    given = system.hyperparameters.model_copy(
        update={"split": "random", "train_fraction": target.n_train / n, "val_fraction": target.n_val / n}
    )
    resolved = resolve_hyperparameters(
        system.architecture, system.method, given, n, is_same_property=start.is_same_property
    )  # fmt: skip
    identity = {
        "protocol": protocol.name,
        "target": target.name,
        "rows": [target.n_train, target.n_val, target.n_test],
        "line": system.line,
        "strict": system.strict,
        "seed": seed,
        "method": system.method.value,
        "architecture": system.architecture.value,
        "hyperparameters": {
            name: value
            for name, value in resolved.model_dump(mode="json", exclude_none=True).items()
            if name not in LATER or value != LATER[name]
        },
        "network": dict(system.network),
        "source": system.source,
        "source_sha256": start.source_sha256,
        "data_sha256": [_digest(places.kit / name) for name in target.files],
        "rules": TOURNAMENT_RULES if system.method is Method.AUTO else RULES,
    }
    if start.candidates:
        identity["candidates"] = dict(start.candidates)
    return Trial(target, system, seed, resolved, identity)


def read_base(protocol: Protocol, name: str, places: Places) -> tuple[Base, Parent]:
    """The model of a source. Raises SourceMissing."""
    manifest = read_manifest(protocol, name, places)
    folder = source_folder(protocol.sources[name], name, places)
    parent = Parent(name=manifest.name, version=int(folder.name), weights_sha256=manifest.weights_sha256)
    return (manifest, (folder / WEIGHTS_FILE).read_bytes()), parent


def read_manifest(protocol: Protocol, name: str, places: Places) -> Manifest:
    """Of the model of a source. Raises SourceMissing saying how to make it."""
    source = protocol.sources[name]
    path = source_folder(source, name, places) / MANIFEST_FILE
    if not path.is_file():
        how = f"run `xtalforge reproduce {protocol.name} --source {name}`" if source.recipe else f"{path} is missing"
        raise SourceMissing(f"The source {name} is not there: {how}.")
    return Manifest.model_validate_json(path.read_text())


def source_folder(source: Source, name: str, places: Places) -> Path:
    """Where the version lies; its last part is the version's number."""
    return places.models / source.shipped if source.shipped else places.sources / name / "1"


@cache
def _digest(path: Path) -> str:
    return file_digest(path)
