"""Tasks as bytes and back: a JSON header, then the texts in UTF-8. Holds data only, nothing that could be run."""

import json
import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from app.learning.graphs.settings import GraphSettings
from app.predictions.tasks import ObjectTask, Task, TextTask
from app.structures.detect import StructureFormat

_HEADER_LENGTH = struct.Struct("<Q")
_encode = json.JSONEncoder(separators=(",", ":")).encode


def pack_request(limit_s: float, tasks: Sequence[Task]) -> bytes:
    """The tasks, and the seconds that each may take."""
    texts = [task.text.encode("utf-8", "surrogatepass") for task in tasks]
    kinds = list(dict.fromkeys(task.settings for task in tasks))
    entries = [
        (len(text), kinds.index(task.settings), *_particulars(task)) for text, task in zip(texts, tasks, strict=True)
    ]
    header = _encode([limit_s, [[_settings_json(each) for each in kind] for kind in kinds], entries]).encode()
    return b"".join((_HEADER_LENGTH.pack(len(header)), header, *texts))


def unpack_request(message: bytearray) -> tuple[float, list[Task]]:
    """What `pack_request` was given."""
    (length,) = _HEADER_LENGTH.unpack_from(message)
    at = _HEADER_LENGTH.size + length
    limit_s, kinds, entries = json.loads(message[_HEADER_LENGTH.size : at])
    settings = [tuple(_settings(text) for text in kind) for kind in kinds]
    tasks = []
    for n_bytes, kind, *particulars in entries:
        text = message[at : at + n_bytes].decode("utf-8", "surrogatepass")
        tasks.append(_task(text, settings[kind], particulars))
        at += n_bytes
    return limit_s, tasks


def _particulars(task: Task) -> tuple[Any, ...]:
    if isinstance(task, ObjectTask):
        return ()
    return task.fmt, task.file_name, task.only_light


def _task(text: str, settings: tuple[GraphSettings, ...], particulars: Sequence[Any]) -> Task:
    if not particulars:
        return ObjectTask(text, settings)
    fmt, file_name, only_light = particulars
    return TextTask(text, StructureFormat(fmt) if fmt is not None else None, file_name, settings, only_light)


@lru_cache(maxsize=256)
def _settings_json(settings: GraphSettings) -> str:
    return settings.model_dump_json()


@lru_cache(maxsize=256)
def _settings(text: str) -> GraphSettings:
    return GraphSettings.model_validate_json(text)
