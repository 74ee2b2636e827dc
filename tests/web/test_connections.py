"""Clients that send more header than anybody needs, or nothing, over real sockets."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from app.web import connections
from app.web.connections import MAX_HEADER_BYTES

PATIENCE_S = 0.4
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200000\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"


async def _application(scope: Any, receive: Any, send: Any) -> None:
    """Says how many bytes came."""
    n, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        n += len(message.get("body", b""))
        more = message.get("more_body", False)
    if scope["path"] == "/slow":
        await asyncio.sleep(3 * PATIENCE_S)
    body = str(n).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    monkeypatch.setattr(connections, "HEADERS_S", PATIENCE_S)
    monkeypatch.setattr(connections, "BODY_SILENCE_S", PATIENCE_S)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(
            _application, http="app.web.connections:BoundedProtocol", lifespan="off", log_level="error"
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        yield listener.getsockname()
        server.should_exit = True
        thread.join()


def _answer(address: tuple[str, int], *pieces: bytes, gap_s: float = 0.0) -> bytes:
    """All that comes until the service closes, or has nothing more to say."""
    answer = b""
    with socket.create_connection(address, timeout=5) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(gap_s)
            while not answer.endswith((b"200000", b"\r\n\r\n0")) and (received := connection.recv(65536)):
                answer += received
        except (ConnectionResetError, BrokenPipeError):  # it closed while we still sent
            pass
    return answer


@pytest.mark.parametrize(
    "pieces",
    [
        [GET + b"X: " + b"a" * (MAX_HEADER_BYTES + 1) + b"\r\n\r\n"],
        [GET + b"X: ", *[b"a" * 16_384] * 40],
        [GET, *[b"X: 0123456789012345\r\n" * 500] * 20, b"\r\n"],
        [b"GET /", *[b"a" * 16_384] * 40],
    ],
)
def test_headers_are_bounded(address: tuple[str, int], pieces: list[bytes]) -> None:
    assert not _answer(address, *pieces, gap_s=0.005).startswith(b"HTTP/1.1 200")


def test_too_long_headers_are_told_so(address: tuple[str, int]) -> None:
    assert _answer(address, GET + b"X: " + b"a" * (MAX_HEADER_BYTES + 1) + b"\r\n\r\n").startswith(b"HTTP/1.1 431")


def test_trailers_are_bounded(address: tuple[str, int]) -> None:
    assert b"200 OK" not in _answer(address, CHUNKED, b"X: ", *[b"a" * 16_384] * 40, gap_s=0.005)


def test_what_people_send_is_taken(address: tuple[str, int]) -> None:
    assert _answer(address, POST, b"x" * 200_000).endswith(b"200000")
    assert _answer(address, GET + b"X: " + b"a" * 60_000 + b"\r\n\r\n").endswith(b"0")
    pieces = [POST, *[b"x" * 20_000] * 10]
    assert _answer(address, *pieces, gap_s=PATIENCE_S / 4).endswith(b"200000"), "slower than it may be silent"


@pytest.mark.parametrize("start", [b"", b"GET / HT", GET, POST, POST + b"x"])
def test_whoever_falls_silent_is_not_waited_for(address: tuple[str, int], start: bytes) -> None:
    began = time.monotonic()
    assert _answer(address, start) == b""
    assert PATIENCE_S * 0.9 < time.monotonic() - began < 10 * PATIENCE_S


def test_headers_in_drops_are_not_waited_for(address: tuple[str, int]) -> None:
    assert _answer(address, GET, *[b"X: y\r\n"] * 20, b"\r\n", gap_s=PATIENCE_S / 5) == b""


def test_a_slow_answer_is_not_broken_off(address: tuple[str, int]) -> None:
    """Also when the next request has begun to arrive meanwhile."""
    assert _answer(address, b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\nGET /").endswith(b"0")
