"""Uploaded files as inputs: structure files as they are, zips opened in memory within bounds."""

import stat
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO

from app.core.errors import InvalidArchive, TooManyInputs, UnparsableStructure
from app.core.settings import LimitSettings
from app.predictions.inputs import FailedInput, RawInput, StructureText, refuse_duplicate_ids
from app.structures.detect import decode_text
from app.structures.limits import DEFAULT_LIMITS

_ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
_ARCHIVE_MAGIC = (*_ZIP_MAGIC, b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!")
_ENCRYPTED_FLAG = 0x1
_MAX_NAME_LENGTH = 200

# A central directory holds about 46 bytes and the name per member; more than this cannot be a set of structures.
_MAX_DIRECTORY_BYTES_PER_MEMBER = 1_000
_END_OF_DIRECTORY = b"PK\x05\x06"
_END_OF_DIRECTORY_REACH = 65_557
_SMALL_BYTES = 100_000


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
        name = _shown_name(upload.name)
        head = upload.file.read(len(_ZIP_MAGIC[0]))
        upload.file.seek(0)
        if not head.startswith(_ZIP_MAGIC):
            read.append(_input(name, upload.file.read(DEFAULT_LIMITS.max_bytes + 1)))
            continue
        try:
            read.extend(_input(member, content) for member, content in _members(upload.file, name, limits))
        except InvalidArchive as error:
            read.append(FailedInput(name, error))
    refuse_duplicate_ids(entry.id for entry in read)
    return [e for e in read if isinstance(e, RawInput)], [e for e in read if isinstance(e, FailedInput)]


def base_name(client_name: str | None) -> str:
    """The last part of a file name that a client sent, which may be a path of its machine."""
    return PurePosixPath((client_name or "").replace("\\", "/")).name or "file"


def _input(name: str, content: bytes) -> RawInput | FailedInput:
    try:
        return RawInput(name, StructureText(decode_text(content), file_name=name))
    except UnparsableStructure as error:
        return FailedInput(name, error)


def _members(file: BinaryIO, name: str, limits: LimitSettings) -> Iterator[tuple[str, bytes]]:
    _refuse_large_directory(file, name, limits.max_inputs_per_request)
    remaining = min(limits.max_upload_bytes, limits.max_inflated_bytes)
    try:
        with zipfile.ZipFile(file) as archive:
            members = [member for member in archive.infolist() if not _is_ignored(member)]
            if len(members) > (most := limits.max_inputs_per_request):
                raise TooManyInputs(f"{name} has {len(members):,} files; one request may have {most:,}.", limit=most)
            for member in members:
                _refuse_member(member, name, limits.max_inflation_ratio)
                with archive.open(member) as opened:
                    content = opened.read(DEFAULT_LIMITS.max_bytes + 1)
                remaining -= len(content)
                if remaining < 0:
                    raise InvalidArchive(f"{name} holds more than {limits.max_upload_bytes:,} bytes when opened.")
                if content.startswith(_ARCHIVE_MAGIC):
                    raise InvalidArchive(f"{name} holds another archive, {member.filename!r}: unpack that one first.")
                yield _shown_name(member.filename), content
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError, ValueError) as error:
        raise InvalidArchive(f"{name} is not a readable zip file: {error}.") from error


def _refuse_large_directory(file: BinaryIO, name: str, max_members: int) -> None:
    # Listing the members costs memory before their number is known, so the declared size of the list is looked at.
    size = file.seek(0, 2)
    file.seek(max(0, size - _END_OF_DIRECTORY_REACH))
    tail = file.read()
    file.seek(0)
    at = tail.rfind(_END_OF_DIRECTORY)
    directory_bytes = int.from_bytes(tail[at + 12 : at + 16], "little") if at >= 0 else 0
    if directory_bytes > max_members * _MAX_DIRECTORY_BYTES_PER_MEMBER:
        raise InvalidArchive(f"{name} lists far more files than one request may have ({max_members:,}).")


def _is_ignored(member: zipfile.ZipInfo) -> bool:
    path = PurePosixPath(member.filename)
    return member.is_dir() or path.name.startswith(".") or "__MACOSX" in path.parts


def _refuse_member(member: zipfile.ZipInfo, name: str, max_ratio: int) -> None:
    path = PurePosixPath(member.filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or stat.S_ISLNK(member.external_attr >> 16):
        raise InvalidArchive(f"{name} holds the unsafe path {_shown_name(member.filename)!r}.")
    if member.flag_bits & _ENCRYPTED_FLAG:
        raise InvalidArchive(f"{name} is protected by a password.")
    if member.file_size > _SMALL_BYTES and member.file_size > max_ratio * max(member.compress_size, 1):
        raise InvalidArchive(
            f"{_shown_name(member.filename)!r} in {name} grows more than {max_ratio} times when unpacked."
        )


def _shown_name(name: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in name)[:_MAX_NAME_LENGTH]
