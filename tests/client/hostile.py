"""A real HTTP server that misbehaves as it is told: for each request the next entry of a script."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Reply:
    """An answer; of its body only `cut` bytes are sent before the connection is closed, after `delay_s`."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    delay_s: float = 0.0
    content_type: str = "application/json"

    @property
    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass(frozen=True)
class Seen:
    """A request as it came, and when."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at_s: float

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Script = list[Reply] | Callable[[Seen], Reply]


@dataclass
class HostileServer:
    url: str
    seen: list[Seen]


def busy(status: int, retry_after: str | None = None) -> Reply:
    code = "queue_full" if status == 429 else "not_ready"
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return Reply(status, {"code": code, "detail": "Come back later.", "status": status}, headers)


@contextmanager
def hostile_server(script: Script) -> Iterator[HostileServer]:
    """Answers with the script's entries in turn (the last one for good), or with what it returns for a request."""
    seen: list[Seen] = []
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            request = Seen(self.command, self.path, dict(self.headers.items()), body, time.monotonic())
            with lock:
                seen.append(request)
                place = len(seen) - 1
            reply = script(request) if callable(script) else script[min(place, len(script) - 1)]
            time.sleep(reply.delay_s)
            content = reply.content
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.content_type)
            self.send_header("Content-Length", str(len(content)))
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content if reply.cut is None else content[: reply.cut])
            self.wfile.flush()
            self.close_connection = reply.cut is not None

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield HostileServer(f"http://127.0.0.1:{server.server_address[1]}", seen)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
