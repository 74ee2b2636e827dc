"""The page for people at `/`: files of the installation, nothing from anywhere else, nothing built."""

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import PurePosixPath

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

PAGE_URL = "/"
ASSETS_URL = "/ui"
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
"""Scripts and styles come from files of this service alone; the cell's picture is kept as a blob."""

_INDEX = "index.html"
_VENDOR = "vendor/"
_COMPRESSED_FROM_BYTES = 1_000
_REVALIDATED = "no-cache"
_FOREVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent; `packed` is it in gzip."""

    content: bytes
    packed: bytes
    media_type: str
    etag: str
    cache_control: str


def install_page(app: FastAPI) -> None:
    """Serve `/` and `/ui/...`."""

    @app.get(PAGE_URL, include_in_schema=False)
    async def page(request: Request) -> Response:
        response = _answer(request, _INDEX)
        response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        return response

    @app.get(ASSETS_URL + "/{path:path}", include_in_schema=False)
    async def asset(request: Request, path: str) -> Response:
        return _answer(request, path)


def _answer(request: Request, path: str) -> Response:
    """The file, or 304 for a client that has it. Raises HTTPException 404."""
    found = _assets().get(path)
    if found is None:
        raise HTTPException(404)
    headers = {"ETag": found.etag, "Cache-Control": found.cache_control, "Vary": "Accept-Encoding"}
    known = [each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")]
    if found.etag in known:
        return Response(status_code=304, headers=headers)
    if "gzip" not in request.headers.get("accept-encoding", "") or len(found.content) < _COMPRESSED_FROM_BYTES:
        return Response(found.content, media_type=found.media_type, headers=headers)
    return Response(found.packed, media_type=found.media_type, headers=headers | {"Content-Encoding": "gzip"})


@lru_cache(maxsize=1)
def _assets() -> dict[str, Asset]:
    """Every file by its path below `ui/`: they are few, and held in memory no request can ask for another one."""
    folder = resources.files("app.web") / "ui"
    found: dict[str, Asset] = {}
    waiting = [(PurePosixPath(entry.name), entry) for entry in folder.iterdir()]
    while waiting:
        path, entry = waiting.pop()
        if entry.is_dir():
            waiting += [(path / below.name, below) for below in entry.iterdir()]
        else:
            found[str(path)] = _asset(str(path), entry.read_bytes())
    return found


def _asset(path: str, content: bytes) -> Asset:
    return Asset(
        content=content,
        packed=gzip.compress(content, mtime=0),
        media_type=mimetypes.guess_type(path)[0] or "application/octet-stream",
        etag=f'"{hashlib.sha256(content).hexdigest()[:32]}"',
        # Names of what others made carry their version; ours may change with every release.
        cache_control=_FOREVER if path.startswith(_VENDOR) else _REVALIDATED,
    )
