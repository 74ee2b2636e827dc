"""What the API and its compute process say to each other: JSON and bytes, nothing that could be run.

The lane's socket carries frames: length (4 bytes) of what follows, number of the request (4), a status (1), a body.
Requests have status 0. Of answers 0 is the JSON that the client gets, the others are below; number 0 is a report of
what the process has seen, for the metrics. The sockets of large requests carry one message of
`app.predictions.messages` each way: `[operation, models, content]`, and status, length of the report (4 bytes), report
and body.
"""

import json
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from app.core.errors import XtalforgeError
from app.core.metrics import observe_stage
from app.predictions.answers import Wishes
from app.predictions.inputs import Formula, RawInput, StructureObject, StructureText, Unreadable
from app.predictions.selection import SelectedModel, selected_model
from app.predictions.service import Asked
from app.registry.artifact import StoredVersion
from app.registry.manifest import Manifest
from app.structures.detect import StructureFormat

DONE, REFUSED, NOT_LIGHT, FAULT = range(4)

_FRAME = struct.Struct("<IIB")
_LARGE = struct.Struct("<BI")
_LENGTH_BYTES = 4
_MAX_MODELS = 256
_encode = json.JSONEncoder(separators=(",", ":"), default=str).encode


class ComputeFault(Exception):
    """Something unexpected happened in the compute process; its log has the details."""


def pack_frame(number: int, status: int, body: bytes) -> bytes:
    return _FRAME.pack(_FRAME.size - _LENGTH_BYTES + len(body), number, status) + body


class Frames:
    """Takes a stream apart."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, int, bytes]]:
        """Number, status and body of each frame that is complete with this data."""
        buffer = self._buffer
        buffer += data
        at = 0
        while len(buffer) - at >= _FRAME.size:
            length, number, status = _FRAME.unpack_from(buffer, at)
            end = at + _LENGTH_BYTES + length
            if len(buffer) < end:
                break
            yield number, status, bytes(buffer[at + _FRAME.size : end])
            at = end
        del buffer[:at]


def pack_json(value: Any) -> bytes:
    return _encode(value).encode()


def pack_error(error: XtalforgeError) -> list[Any]:
    return [error.code, error.status, error.title, error.detail, error.context]


def unpack_error(packed: Sequence[Any]) -> XtalforgeError:
    """An error that is told like the one that was packed."""
    code, status, title, detail, context = packed
    kind = type("ComputeError", (XtalforgeError,), {"code": code, "status": status, "title": title})
    error: XtalforgeError = kind(detail, **context)
    return error


def outcome(status: int, body: bytes) -> bytes:
    """The answer, or what it says went wrong, raised. NOT_LIGHT is the caller's to look for."""
    if status == DONE:
        return body
    if status == REFUSED:
        raise unpack_error(json.loads(body))
    raise ComputeFault(body.decode())


def pack_large_answer(status: int, report: bytes, body: bytes) -> bytes:
    return b"".join((_LARGE.pack(status, len(report)), report, body))


def unpack_large_answer(message: bytearray) -> tuple[int, bytes, bytes]:
    """Status, report and body."""
    status, n_report = _LARGE.unpack_from(message)
    with memoryview(message) as content:
        start = _LARGE.size + n_report
        return status, bytes(content[_LARGE.size : start]), bytes(content[start:])


def pack_inputs(inputs: Sequence[RawInput]) -> list[list[Any]]:
    return [[given.id, *_content(given)] for given in inputs]


def unpack_inputs(packed: Sequence[Sequence[Any]]) -> list[RawInput]:
    return [_input(*entry) for entry in packed]


def pack_wishes(wishes: Wishes) -> list[Any]:
    return [wishes.interval_level, wishes.neighbours]


def unpack_wishes(packed: Sequence[Any]) -> Wishes:
    level, neighbours = packed
    return Wishes(level, neighbours)


def pack_model(model: SelectedModel) -> dict[str, Any]:
    version = model.version
    return {
        "id": version.id,
        "name": version.model_name,
        "version": version.version,
        "sha256": version.weights_sha256,
        "manifest": version.manifest,
        "is_named": model.is_named,
    }


def unpack_model(packed: Mapping[str, Any]) -> SelectedModel:
    version = StoredVersion(
        id=packed["id"],
        model_name=packed["name"],
        version=packed["version"],
        weights_sha256=packed["sha256"],
        manifest=packed["manifest"],
    )
    return selected_model(version, Manifest.model_validate(packed["manifest"]), is_named=packed["is_named"])


class LaneRequests:
    """Packs requests of the lane; the other end is a `LaneRequestReader`. A model is described when it is first named.

    A body is `[numbers of the models, models new by number, inputs, wishes, when it was sent]`; a new number -1 says
    that all before are forgotten.
    """

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, bool], int] = {}

    def pack(self, asked: Asked, models: Sequence[SelectedModel]) -> bytes:
        new: dict[int, Any] = {}
        if len(self._numbers) >= _MAX_MODELS:
            self._numbers.clear()
            new[-1] = None
        numbers = [self._number(model, new) for model in models]
        return pack_json([numbers, new, pack_inputs(asked.inputs), pack_wishes(asked.wishes), time.perf_counter()])

    def _number(self, model: SelectedModel, new: dict[int, Any]) -> int:
        key = model.version.id, model.is_named
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._numbers)
            new[number] = pack_model(model)
        return number


class LaneRequestReader:
    """Opens what one `LaneRequests` has packed, in the same order."""

    def __init__(self) -> None:
        self._models: dict[int, SelectedModel] = {}

    def open(self, body: bytes) -> Asked:
        numbers, new, inputs, wishes, sent_at = json.loads(body)
        observe_stage("queue", time.perf_counter() - sent_at)
        for number, model in new.items():
            if model is None:
                self._models.clear()
            else:
                self._models[int(number)] = unpack_model(model)
        chosen = [self._models[number] for number in numbers]
        return Asked(unpack_inputs(inputs), chosen=chosen, wishes=unpack_wishes(wishes))


def _content(given: RawInput) -> tuple[Any, ...]:
    match given.content:
        case StructureText(text, fmt, file_name):
            return text, fmt, file_name
        case Formula(text):
            return (text,)
        case StructureObject(text):
            return None, text
        case Unreadable(error):
            return None, None, pack_error(error), None


def _input(name: str, *content: Any) -> RawInput:
    match content:
        case (text, fmt, file_name):
            return RawInput(name, StructureText(text, StructureFormat(fmt) if fmt is not None else None, file_name))
        case (text,):
            return RawInput(name, Formula(text))
        case (_, text):
            return RawInput(name, StructureObject(text))
        case (_, _, error, _):
            return RawInput(name, Unreadable(unpack_error(error)))
    raise ValueError(content)
