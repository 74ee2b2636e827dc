"""Zip files from outside, read in memory within bounds whatever they say about themselves."""

import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import BinaryIO

from app.core.errors import InvalidArchive
from app.core.settings import LimitSettings
from app.structures.limits import DEFAULT_LIMITS

_ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
_ARCHIVE_MAGIC = (*_ZIP_MAGIC, b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!")
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError, ValueError)

_END_OF_DIRECTORY = b"PK\x05\x06"
_END_OF_DIRECTORY_BYTES = 22
_END_OF_DIRECTORY_REACH = 65_557
_ZIP64_LOCATOR = b"PK\x06\x07"
_ZIP64_TAIL_BYTES = 76
_DIRECTORY_ENTRY = b"PK\x01\x02"
_MAX_DIRECTORY_BYTES_PER_MEMBER = 500

_ENCRYPTED_FLAG = 0x1
_SMALL_BYTES = 100_000
_MAX_NAME_LENGTH = 200


class Archive:
    """An opened zip. `members` are its files in order, without folders and what file managers leave behind."""

    def __init__(self, archive: zipfile.ZipFile, name: str, limits: LimitSettings, max_total_bytes: int) -> None:
        """Raises InvalidArchive for unsafe paths, encryption, bombs, and a declared size over `max_total_bytes`."""
        self._archive = archive
        self._name = name
        self._max_total_bytes = max_total_bytes
        self._remaining_bytes = max_total_bytes
        self._info = {info.filename: info for info in archive.filelist if not _is_ignored(info)}
        if _is_workbook(self._info):
            raise InvalidArchive(f"{name} is an Excel workbook, not a zip of structures; save the sheet as CSV.")
        for info in self._info.values():
            self._refuse_unsafe(info, limits.max_inflation_ratio)
        if sum(info.file_size for info in self._info.values()) > max_total_bytes:
            raise self._too_large()

    @property
    def members(self) -> list[str]:
        return list(self._info)

    def read(self, member: str, max_bytes: int = DEFAULT_LIMITS.max_bytes) -> bytes:
        """The content, cut one byte after `max_bytes`, so that its reader sees it is too long.

        Raises InvalidArchive when it is damaged, or when all that was read is more than was agreed.
        """
        # The sizes a zip declares may be lies: never inflate more than was agreed, whatever it says.
        most = min(max_bytes, self._remaining_bytes) + 1
        try:
            with self._archive.open(self._info[member]) as opened:
                content = opened.read(most)
        except _BROKEN as error:
            raise InvalidArchive(f"{shown_name(member)!r} in {self._name} is damaged: {str(error)[:200]}.") from error
        if len(content) > self._remaining_bytes:
            raise self._too_large()
        self._remaining_bytes -= len(content)
        return content

    def _too_large(self) -> InvalidArchive:
        return InvalidArchive(
            f"{self._name} opens to more than {self._max_total_bytes:,} bytes, the most that is read."
        )

    def _refuse_unsafe(self, info: zipfile.ZipInfo, max_ratio: int) -> None:
        path, shown = member_path(info.filename), shown_name(info.filename)
        if path.is_absolute() or ".." in path.parts or stat.S_ISLNK(info.external_attr >> 16):
            raise InvalidArchive(f"{self._name} holds the unsafe path {shown!r}.")
        if info.flag_bits & _ENCRYPTED_FLAG:
            raise InvalidArchive(f"{self._name} is protected by a password.")
        if info.file_size > _SMALL_BYTES and info.file_size > max_ratio * max(info.compress_size, 1):
            raise InvalidArchive(f"{shown!r} in {self._name} grows more than {max_ratio} times when unpacked.")


@contextmanager
def open_archive(file: BinaryIO, name: str, limits: LimitSettings, max_total_bytes: int) -> Iterator[Archive]:
    """Open a zip; `name` is what errors call it. Raises InvalidArchive for what is no zip or means no good."""
    _refuse_large_directory(file, name, limits.max_archive_members)
    try:
        opened = zipfile.ZipFile(file)
    except _BROKEN as error:
        raise InvalidArchive(f"{name} is not a readable zip file: {str(error)[:200]}.") from error
    with opened:
        yield Archive(opened, name, limits, max_total_bytes)


def is_zip(head: bytes) -> bool:
    """Whether a file that begins like this is a zip."""
    return head.startswith(_ZIP_MAGIC)


def is_archive(content: bytes) -> bool:
    """Whether a content is a zip or a packed file of another kind."""
    return content.startswith(_ARCHIVE_MAGIC)


def member_path(member: str) -> PurePosixPath:
    """The place of a member within its archive, with the separators of every system understood."""
    return PurePosixPath(member.replace("\\", "/"))


def shown_name(name: str) -> str:
    """A file name as it may be shown: without control characters, and not endless."""
    return "".join(c if c.isprintable() else "?" for c in name)[:_MAX_NAME_LENGTH]


def _refuse_large_directory(file: BinaryIO, name: str, max_members: int) -> None:
    # Listing the members costs memory before their number is known, so they are counted in the bytes of the list.
    size = file.seek(0, 2)
    tail_at = max(0, size - _END_OF_DIRECTORY_REACH - _ZIP64_TAIL_BYTES)
    file.seek(tail_at)
    tail = file.read()
    end, directory_bytes = _directory(tail)
    is_large = directory_bytes > max_members * _MAX_DIRECTORY_BYTES_PER_MEMBER
    if not is_large and directory_bytes > 0:
        file.seek(max(0, tail_at + end - directory_bytes))
        is_large = file.read(directory_bytes).count(_DIRECTORY_ENTRY) > max_members
    file.seek(0)
    if is_large:
        raise InvalidArchive(f"{name} lists more than {max_members:,} files, the most that are read.")


def _directory(tail: bytes) -> tuple[int, int]:
    """Where the list of members ends in the last bytes of a zip, and its declared size in bytes; 0, 0 without one."""
    at = len(tail) - _END_OF_DIRECTORY_BYTES
    if at < 0 or not (tail[at:].startswith(_END_OF_DIRECTORY) and tail.endswith(b"\0\0")):
        at = tail.rfind(_END_OF_DIRECTORY)
    if at < 0:
        return 0, 0
    size = int.from_bytes(tail[at + 12 : at + 16], "little")
    zip64_at = at - _ZIP64_TAIL_BYTES
    if zip64_at >= 0 and tail[at - 20 : at].startswith(_ZIP64_LOCATOR):
        return zip64_at, int.from_bytes(tail[zip64_at + 40 : zip64_at + 48], "little")
    return at, size


def _is_ignored(info: zipfile.ZipInfo) -> bool:
    # A name may be empty, which `info.is_dir()` cannot bear.
    path = member_path(info.filename)
    is_folder = info.filename.endswith("/") or not path.name
    return is_folder or path.name.startswith(".") or "__MACOSX" in path.parts


def _is_workbook(members: dict[str, zipfile.ZipInfo]) -> bool:
    return "[Content_Types].xml" in members and any(member.startswith("xl/") for member in members)
