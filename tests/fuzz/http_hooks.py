"""Run inside schemathesis: names of what the service really holds, and spoilt files where a form takes one."""

import json
import os
from random import Random
from typing import Any

import schemathesis
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.generation import GenerationMode
from schemathesis.generation.meta import TestPhase
from schemathesis.specs.openapi.checks import UseAfterFree

from tests.fuzz.bodies import GOAL, ROWS
from tests.fuzz.seeds import Corpus

HELD_VARIABLE = "XTALFORGE_FUZZ_HELD"
SEED_VARIABLE = "XTALFORGE_FUZZ_SEED"
_FORMATS = ("csv", "jsonl", "parquet", "zip", "cif")
_SHARE = 0.7

_FORM, _JSON = "multipart/form-data", "application/json"
_ACCEPTED: dict[str, tuple[str, dict[str, Any]]] = {
    "/v1/datasets": (_FORM, {"property": "band_gap", "name": "chain", "file": ROWS.encode()}),
    "/v1/bulk-predictions": (_JSON, {"dataset_id": ""}),
    "/v1/fine-tuning/jobs": (_JSON, {"dataset_id": "", "model_name": "chain", "method": "pls"}),
    "/v1/screenings": (_JSON, {"dataset_id": "", "objectives": [GOAL]}),
    "/v1/webhooks": (_JSON, {"url": "https://example.org/chain"}),
}  # fmt: skip
"""What the service takes, by the call."""

_JOBS = ("/v1/bulk-predictions/", "/v1/screenings/")

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
    if case.meta.phase.name is TestPhase.STATEFUL:
        _begin_chain(case)
        return
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
    """What is right nevertheless.

    No schema describes the bytes of a file: those put in here are taken for a text that breaks it. What is deleted of a
    job are its results, and the job goes on saying so.
    """
    if isinstance(failure, UseAfterFree):
        return not case.path.startswith(_JOBS)
    return not (case.id in _filled and isinstance(failure, AcceptedNegativeData))


def _is_valid(meta: Any) -> bool:
    modes = [meta.generation.mode, *(component.mode for component in meta.components.values())]
    return all(mode is GenerationMode.POSITIVE for mode in modes)


def _begin_chain(case: Any) -> None:
    """Often enough a call that makes something makes it, so that there is something for the next calls to name."""
    accepted = _ACCEPTED.get(case.path)
    if case.method == "POST" and accepted is not None and _rng.random() < _SHARE:
        case.media_type, body = accepted
        case.body = dict(body)
        if "dataset_id" in body:
            case.body["dataset_id"] = _rng.choice(_held["dataset_id"])


def _use_held(values: dict[str, Any], path: str) -> None:
    for name in values:
        held = _held.get(f"{path.split('/{')[0]} {name}") or _held.get(name)
        if held and _rng.random() < _SHARE:
            values[name] = _rng.choice(held)


def _file() -> bytes:
    return _corpora[_rng.choice(_FORMATS)].input(_rng.randrange(1_000_000))
