"""Run inside schemathesis: names of what the service really holds, and spoilt files where a form takes one."""

import json
import os
from random import Random
from typing import Any

import schemathesis
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.generation import GenerationMode

from tests.fuzz.seeds import Corpus

HELD_VARIABLE = "XTALFORGE_FUZZ_HELD"
SEED_VARIABLE = "XTALFORGE_FUZZ_SEED"
_FORMATS = ("csv", "jsonl", "parquet", "zip", "cif")
_SHARE = 0.7

_seed = int(os.environ.get(SEED_VARIABLE, "0"))
_held: dict[str, list[str]] = json.loads(os.environ.get(HELD_VARIABLE, "{}"))
_corpora = {name: Corpus(name, _seed) for name in _FORMATS}
_rng = Random(_seed)
_filled: set[str] = set()


@schemathesis.hook
def before_call(_context: Any, case: Any, _arguments: Any) -> None:
    """Only cases that are meant to be valid: of the others it is checked that they are refused."""
    if case.meta is None or not _is_valid(case.meta):
        return
    _filled.add(case.id)
    if case.method != "DELETE":
        _use_held(case.path_parameters or {}, case.path)
    if isinstance(case.body, dict):
        if case.body.get("dataset_id"):
            _use_held(case.body, "")
        for name in ("file", "files"):
            if name in case.body and case.media_type == "multipart/form-data":
                case.body[name] = [_file()] if name == "files" else _file()


@schemathesis.hook
def filter_failure(_context: Any, failure: Any, case: Any, _response: Any) -> bool:
    """No schema describes the bytes of a file: those put in here are taken for a text that breaks it."""
    return not (case.id in _filled and isinstance(failure, AcceptedNegativeData))


def _is_valid(meta: Any) -> bool:
    modes = [meta.generation.mode, *(component.mode for component in meta.components.values())]
    return all(mode is GenerationMode.POSITIVE for mode in modes)


def _use_held(values: dict[str, Any], path: str) -> None:
    for name in values:
        held = _held.get(f"{path.split('/{')[0]} {name}") or _held.get(name)
        if held and _rng.random() < _SHARE:
            values[name] = _rng.choice(held)


def _file() -> bytes:
    return _corpora[_rng.choice(_FORMATS)].input(_rng.randrange(1_000_000))
