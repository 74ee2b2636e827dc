"""A small, fast HTTP/1.1 load client, in a process of its own so that its work is not the server's.

Reads prepared requests from standard input, keeps CONNECTIONS busy with them for SECONDS (each connection sends its
next request when its last was answered; the requests are used in turn, none twice before all were sent) and prints
JSON: status counts, latencies in ms in the order of their end, wall and CPU seconds.

    python benchmarks/http_client.py HOST PORT CONNECTIONS SECONDS [--once] < requests
"""

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import cycle
from typing import cast

import uvloop

LENGTH_BYTES = 8


def pack(requests: Iterable[bytes]) -> bytes:
    """Requests as this program reads them: each after its length."""
    return b"".join(len(request).to_bytes(LENGTH_BYTES, "big") + request for request in requests)


def unpack(content: bytes) -> list[bytes]:
    requests, at = [], 0
    while at < len(content):
        end = at + LENGTH_BYTES + int.from_bytes(content[at : at + LENGTH_BYTES], "big")
        requests.append(content[at + LENGTH_BYTES : end])
        at = end
    return requests


class Run:
    """What all connections share."""

    def __init__(self, requests: Iterator[bytes], seconds: float) -> None:
        self.requests = requests
        self.deadline = time.perf_counter() + seconds
        self.latencies: list[float] = []
        self.statuses: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    def next_request(self) -> bytes | None:
        return next(self.requests, None) if time.perf_counter() < self.deadline else None


class Connection(asyncio.Protocol):
    def __init__(self, run: Run) -> None:
        self.run = run
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.buffer = bytearray()
        self.expected = -1
        self.sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.send_next()

    def send_next(self) -> None:
        request = self.run.next_request()
        if request is None:
            self.transport.close()
            if not self.done.done():
                self.done.set_result(None)
            return
        self.buffer.clear()
        self.expected = -1
        self.sent = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if self.expected < 0:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self.buffer[:end]).lower()
            at = head.index(b"content-length:") + len(b"content-length:")
            self.expected = end + 4 + int(head[at:].split(b"\r\n", 1)[0])
        if len(self.buffer) >= self.expected:
            self.run.latencies.append(time.perf_counter() - self.sent)
            status = bytes(self.buffer[9:12]).decode()
            self.run.statuses[status] += 1
            if status != "200":
                self.run.refused[_code(bytes(self.buffer))] += 1
            self.send_next()

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.done.done():
            self.run.statuses["connection lost"] += 1
            self.done.set_result(None)


def _code(answer: bytes) -> str:
    try:
        return str(json.loads(answer.split(b"\r\n\r\n", 1)[1])["code"])
    except (ValueError, KeyError):
        return "no problem document"


async def load(host: str, port: int, connections: int, run: Run) -> None:
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(lambda: Connection(run), host, port) for _ in range(connections)]
    await asyncio.gather(*(connection.done for _, connection in made))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("connections", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--once", action="store_true", help="stop when every request was sent")
    options = parser.parse_args()
    requests = unpack(sys.stdin.buffer.read())
    run = Run(iter(requests) if options.once else cycle(requests), options.seconds)
    started, cpu = time.perf_counter(), time.process_time()
    uvloop.run(load(options.host, options.port, options.connections, run))
    json.dump(
        {
            "statuses": run.statuses,
            "codes": run.refused,
            "latencies_ms": [round(latency * 1000, 4) for latency in run.latencies],
            "wall_s": time.perf_counter() - started,
            "cpu_s": time.process_time() - cpu,
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
