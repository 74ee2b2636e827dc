"""Downloads that go on where they broke off (RFC 9110, 14), of files that are made while they are sent."""

import hashlib
import re
from collections.abc import Callable, Iterator

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")

Make = Callable[[], Iterator[bytes]]
"""The file in pieces, from its beginning; the same bytes each time."""


def etag_of(*state: str) -> str:
    """Differs whenever the bytes may; `state` is what they are made of."""
    return f'"{hashlib.sha256(chr(0).join(state).encode()).hexdigest()[:32]}"'


def answer_download(request: Request, make: Make, etag: str, media_type: str, file_name: str) -> Response:
    """The file, or the one range of it that was asked for.

    Its length is not known before it is made: for a range it is made twice, once to be measured.
    """
    headers = {
        "Content-Disposition": f'attachment; filename="{file_name}"', "ETag": etag, "Accept-Ranges": "bytes",
    }  # fmt: skip
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    wanted = _RANGE.fullmatch(request.headers.get("range", ""))
    if wanted is None or not any(wanted.groups()) or request.headers.get("if-range", etag) != etag:
        return StreamingResponse(make(), media_type=media_type, headers=headers)
    length = sum(map(len, make()))
    start, end = _bounds(wanted.group(1), wanted.group(2), length)
    if start >= end:
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{length}"})
    headers |= {"Content-Range": f"bytes {start}-{end - 1}/{length}", "Content-Length": str(end - start)}
    return StreamingResponse(_between(make(), start, end), 206, headers, media_type)


def _bounds(first: str, last: str, length: int) -> tuple[int, int]:
    """Where the range begins, and ends before; without a first place it is the end of the file."""
    if not first:
        return max(0, length - int(last)), length
    return int(first), min(length, int(last) + 1) if last else length


def _between(pieces: Iterator[bytes], start: int, end: int) -> Iterator[bytes]:
    position = 0
    for piece in pieces:
        part = piece[max(0, start - position) : end - position]
        position += len(piece)
        if part:
            yield part
        if position >= end:
            return
