"""A backup as one file: an uncompressed tar that any program opens.

    backup.json             format, version, schema revision, time
    tables/NAME.jsonl.gz    the columns in the first line, then one row a line
    objects/PATH            the artifact store
    checksums.json          sha256 and size of everything before; its absence tells a backup that broke off

The file holds all unpublished data of the installation and is readable by its owner only.
"""

import gzip
import hashlib
import io
import json
import os
import re
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from app.maintenance.errors import BackupUnreadable, MaintenanceError
from app.maintenance.source import Source, SourceObject
from app.maintenance.tables import TableRows

FORMAT = 1
HEADER, CHECKSUMS = "backup.json", "checksums.json"
TABLES, TABLE_SUFFIX, OBJECTS = "tables/", ".jsonl.gz", "objects/"

_SEGMENT = r"(?!\.\.?(?:/|$))[^/]+"
_MEMBER = re.compile(rf"{TABLES}\w+{re.escape(TABLE_SUFFIX)}|{OBJECTS}{_SEGMENT}(?:/{_SEGMENT})*")

_PIECE_BYTES = 1 << 20
_SPOOL_BYTES = 64 << 20


class Saved(NamedTuple):
    """What went into a backup."""

    n_tables: int
    n_rows: int
    n_objects: int
    size_bytes: int


def write_backup(source: Source, path: Path) -> Saved:
    """The file appears complete or not at all. Raises MaintenanceError, also when it is there already."""
    if path.exists():
        raise MaintenanceError(f"{path} is there already: give the backup another name.")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            saved = _write(source, file)
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise MaintenanceError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        partial.unlink(missing_ok=True)
    return saved._replace(size_bytes=path.stat().st_size)


def _write(source: Source, file: IO[bytes]) -> Saved:
    n_tables = n_rows = n_objects = 0
    with tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        writer = _Writer(tar)
        head = {"format": FORMAT, "version": version("xtalforge"), "revision": source.revision}
        head["created_at"] = datetime.now(UTC).isoformat()
        writer.add(HEADER, json.dumps(head, indent=2).encode())
        for table in source.tables():
            with tempfile.SpooledTemporaryFile(_SPOOL_BYTES) as spooled:
                n_rows += _write_rows(table, cast(IO[bytes], spooled))
                size = spooled.tell()
                spooled.seek(0)
                writer.add_pieces(f"{TABLES}{table.name}{TABLE_SUFFIX}", size, _pieces(cast(IO[bytes], spooled)))
            n_tables += 1
        for found in source.objects():
            writer.add_pieces(f"{OBJECTS}{found.path}", found.size_bytes, found.pieces)
            n_objects += 1
        writer.add(CHECKSUMS, json.dumps(writer.checksums).encode())
    return Saved(n_tables, n_rows, n_objects, 0)


class _Writer:
    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self.checksums: dict[str, tuple[str, int]] = {}

    def add(self, name: str, content: bytes) -> None:
        self.add_pieces(name, len(content), [content])

    def add_pieces(self, name: str, size: int, pieces: Iterable[bytes]) -> None:
        member = tarfile.TarInfo(name)
        member.size = size
        member.mode = 0o600
        digested = _Digested(iter(pieces))
        self._tar.addfile(member, cast(IO[bytes], digested))
        self.checksums[name] = (digested.sha256, size)


class _Digested(io.RawIOBase):
    """Pieces as a file to read, with the hash of what was read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._held = b""
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def read(self, size: int = -1) -> bytes:
        """As much as was asked for, unless the end comes first: tarfile takes less for a broken file."""
        parts: list[bytes] = []
        wanted = size
        while wanted != 0:
            self._held = self._held or next(self._pieces, b"")
            if not self._held:
                break
            part, self._held = (self._held, b"") if wanted < 0 else (self._held[:wanted], self._held[wanted:])
            parts.append(part)
            wanted -= len(part) if wanted > 0 else 0
        taken = b"".join(parts)
        self._digest.update(taken)
        return taken


def _write_rows(table: TableRows, file: IO[bytes]) -> int:
    n_rows = 0
    # Without a time in its head the same rows are the same bytes.
    with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=6, mtime=0) as packed:
        packed.write(json.dumps(table.columns).encode() + b"\n")
        for row in table.rows:
            packed.write(json.dumps(row).encode() + b"\n")
            n_rows += 1
    return n_rows


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(_PIECE_BYTES):
        yield piece


class Backup(Source):
    """A backup file that was checked: complete, readable by this version, every checksum right."""

    def __init__(self, path: Path) -> None:
        """Raises BackupUnreadable, naming what is damaged."""
        self._path = path
        header, self._members = _checked(path)
        self.revision: str = header["revision"]
        self.created_at: str = header["created_at"]
        self.version: str = header["version"]

    @property
    def n_objects(self) -> int:
        return sum(name.startswith(OBJECTS) for name in self._members)

    def tables(self) -> Iterator[TableRows]:
        for name, file in self._files(lambda name: name.startswith(TABLES)):
            with gzip.GzipFile(fileobj=file) as packed:
                columns = json.loads(packed.readline())
                yield TableRows(
                    name.removeprefix(TABLES).removesuffix(TABLE_SUFFIX), columns, (json.loads(line) for line in packed)
                )

    def objects(self) -> Iterator[SourceObject]:
        for name, file in self._files(lambda name: name.startswith(OBJECTS)):
            yield SourceObject(name.removeprefix(OBJECTS), self._members[name], _pieces(file))

    def _files(self, wanted: Callable[[str], bool]) -> Iterator[tuple[str, IO[bytes]]]:
        with tarfile.open(self._path, mode="r:") as tar:
            for member in tar:
                if wanted(member.name) and (file := tar.extractfile(member)) is not None:
                    yield member.name, file


def _checked(path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """The header, and the size of each member."""
    try:
        found, header, checksums = _digests(path)
    except OSError as error:
        raise BackupUnreadable(f"{path} cannot be read: {error.strerror or error}.") from error
    except (tarfile.TarError, ValueError) as error:
        raise BackupUnreadable(f"{path} is no backup, or a damaged one: {error}.") from error
    if header is None:
        raise BackupUnreadable(f"{path} is no backup of Xtalforge: it has no {HEADER}.")
    if header.get("format") != FORMAT:
        raise BackupUnreadable(
            f"{path} has format {header.get('format')!r}; this version of Xtalforge reads {FORMAT}. Restore it with "
            f"version {header.get('version')!r} or a later one."
        )
    if strange := [name for name in found if name != HEADER and not _MEMBER.fullmatch(name)]:
        raise BackupUnreadable(f"{path} holds {min(strange)!r}, which no backup does.")
    if checksums is None:
        raise BackupUnreadable(f"{path} is incomplete: it breaks off before its checksums.")
    wrong = [name for name in {*checksums, *found} if found.get(name) != checksums.get(name)]
    if wrong:
        raise BackupUnreadable(f"{path} is damaged: {len(wrong)} members differ, such as {min(wrong)}.")
    return header, {name: size for name, (_, size) in found.items()}


_Digests = dict[str, tuple[str, int]]


def _digests(path: Path) -> tuple[_Digests, dict[str, Any] | None, _Digests | None]:
    found: _Digests = {}
    header: dict[str, Any] | None = None
    checksums: _Digests | None = None
    with tarfile.open(path, mode="r:") as tar:
        for member in tar:
            file = tar.extractfile(member)
            if file is None:
                raise ValueError(f"{member.name} is not a plain file")
            if member.name == CHECKSUMS:
                checksums = {name: (digest, size) for name, (digest, size) in json.loads(file.read()).items()}
                continue
            digest = hashlib.sha256()
            content = b""
            for piece in _pieces(file):
                digest.update(piece)
                content = piece
            if member.name == HEADER:
                with suppress(ValueError):
                    header = json.loads(content)
            found[member.name] = (digest.hexdigest(), member.size)
    return found, header, checksums
