"""HTTP connections as uvicorn keeps them, but nobody can fill or hold one for nothing.

uvicorn with httptools bounds neither how long headers are nor how long a client takes to send them. A proxy in front
does, where there is one.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEADER_BYTES = 65_536
"""Most bytes of the request line and all headers, or of the trailers of a body."""

HEADERS_S = 30.0
"""The longest a client may take from its connection, or the first byte of a request, to the end of the headers."""

BODY_SILENCE_S = 60.0
"""A client whose body stops arriving for this long is not waited for, unless the service itself reads no further."""

_TOO_LARGE = b"Request headers may have %d bytes at most." % MAX_HEADER_BYTES


class _TooLarge(Exception):
    pass


class BoundedProtocol(HttpToolsProtocol):
    """Answers 431 to headers that are too long, and closes connections on which nothing comes."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._n_header_bytes = 0
        self._n_unfinished = 0  # received since the parser last told of something whole
        self._is_arriving = False
        self._has_headers = False
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait(HEADERS_S)

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._n_unfinished += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._n_unfinished > MAX_HEADER_BYTES:
            self._refuse()
        elif not self._is_arriving:
            self._wait_no_more()
        elif self._has_headers:
            self._wait_no_more()
            self._wait(BODY_SILENCE_S)
        elif self._patience is None:
            self._wait(HEADERS_S)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_arriving, self._has_headers, self._n_header_bytes = True, False, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        self._n_header_bytes += len(name) + len(value)
        if self._n_header_bytes > MAX_HEADER_BYTES:
            raise _TooLarge  # which the parser turns into an error of its own
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._has_headers, self._n_unfinished = True, 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._n_unfinished = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._is_arriving, self._n_unfinished = False, 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        if self._n_header_bytes > MAX_HEADER_BYTES or self._n_unfinished > MAX_HEADER_BYTES:
            self._refuse()
        else:
            super().send_400_response(msg)

    def _refuse(self) -> None:
        if not self._has_headers:  # else an answer may be on its way
            head = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain; charset=utf-8\r\n"
            self.transport.write(
                head + b"content-length: %d\r\nconnection: close\r\n\r\n" % len(_TOO_LARGE) + _TOO_LARGE
            )
        self.transport.close()

    def _wait(self, seconds: float) -> None:
        self._patience = self.loop.call_later(seconds, self._give_up)

    def _wait_no_more(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self) -> None:
        self._patience = None
        is_answered = self.cycle is None or self.cycle.response_complete
        if self.flow.read_paused or (not self._has_headers and not is_answered):
            self._wait(BODY_SILENCE_S)
        else:
            self.transport.close()
