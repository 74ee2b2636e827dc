"""Uploaded files as inputs: structure files as they are, zips opened in memory within bounds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO

from app.core.errors import InvalidArchive, TooManyInputs, UnparsableStructure
from app.core.settings import LimitSettings
from app.predictions.inputs import FailedInput, RawInput, StructureText, refuse_duplicate_ids
from app.structures.archive import Archive, is_archive, is_zip, open_archive, shown_name
from app.structures.detect import decode_text
from app.structures.limits import DEFAULT_LIMITS

_HEAD_BYTES = 8
_BYTES_PER_INPUT = 4_000


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file of the request, seekable."""

    name: str
    file: BinaryIO


def read_uploads(files: Sequence[UploadedFile], limits: LimitSettings) -> tuple[list[RawInput], list[FailedInput]]:
    """The inputs of these files, and what cannot be opened: archives, binary files.

    An input's id is the file's name, within an archive its path there. Raises InvalidRequest when two are the same and
    TooManyInputs.
    """
    read: list[RawInput | FailedInput] = []
    for upload in files:
        name = shown_name(upload.name)
        head = upload.file.read(_HEAD_BYTES)
        upload.file.seek(0)
        if is_zip(head):
            read.extend(_read_archive(upload.file, name, limits))
        else:
            read.append(_input(name, upload.file.read(DEFAULT_LIMITS.max_bytes + 1)))
    refuse_duplicate_ids(entry.id for entry in read)
    return [e for e in read if isinstance(e, RawInput)], [e for e in read if isinstance(e, FailedInput)]


def expected_inputs(file_bytes: int) -> int:
    """About how many inputs a file of this size brings, which is only known when it was read: it may be a zip."""
    return 1 + file_bytes // _BYTES_PER_INPUT


def base_name(client_name: str | None) -> str:
    """The last part of a file name that a client sent, which may be a path of its machine."""
    return PurePosixPath((client_name or "").replace("\\", "/")).name or "file"


def _read_archive(file: BinaryIO, name: str, limits: LimitSettings) -> Iterator[RawInput | FailedInput]:
    try:
        with open_archive(file, name, limits, min(limits.max_upload_bytes, limits.max_inflated_bytes)) as archive:
            members = archive.members
            if len(members) > (most := limits.max_inputs_per_request):
                raise TooManyInputs(f"{name} has {len(members):,} files; one request may have {most:,}.", limit=most)
            if not members:
                raise InvalidArchive(f"{name} holds no file.")
            for member in members:
                yield _member_input(archive, member, name)
    except InvalidArchive as error:
        yield FailedInput(name, error)


def _member_input(archive: Archive, member: str, archive_name: str) -> RawInput | FailedInput:
    shown = shown_name(member)
    try:
        content = archive.read(member)
    except InvalidArchive as error:
        return FailedInput(shown, error)
    if is_archive(content):
        return FailedInput(shown, InvalidArchive(f"{shown!r} in {archive_name} is an archive itself: unpack it first."))
    return _input(shown, content)


def _input(name: str, content: bytes) -> RawInput | FailedInput:
    try:
        return RawInput(name, StructureText(decode_text(content), file_name=name))
    except UnparsableStructure as error:
        return FailedInput(name, error)
