"""The process that computes predictions, as the API sees it: started, asked and, when it dies, replaced."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, cast

from app.core.db import database_away, is_database_away
from app.core.errors import NotReady, XtalforgeError
from app.core.logging import get_logger
from app.core.metrics import MODELS_LOADED, count_predictions, observe_stage
from app.core.settings import PROJECT_ROOT, Settings
from app.predictions.compute_messages import (
    DONE,
    NOT_LIGHT,
    REFUSED,
    Frames,
    LaneRequests,
    outcome,
    pack_error,
    pack_frame,
    pack_json,
    pack_model,
    unpack_large_answer,
)
from app.predictions.messages import receive, send
from app.predictions.selection import SelectedModel
from app.predictions.service import Asked, NotLight
from app.registry.artifact import Artifact, StoredVersion

LARGE_AT_ONCE = 4
"""Large requests at work at once, beside the lane of small ones."""
_MODULE = "app.compute"
_MAX_BODY_BYTES = 1 << 40
_MAX_VERSIONS = 1000
_STEADY_S = 30.0
_RESTART_S = (0.0, 1.0, 5.0, 20.0)
_KEPT_OUT = ("XTALFORGE_", "AWS_")
_SETTINGS = {"device", "limits", "inference", "log_level", "log_format"}

log = get_logger(__name__)

LoadModel = Callable[[StoredVersion], Artifact]


class Compute:
    """One process that holds the models. To be started, asked for small requests and closed by the event loop."""

    def __init__(self, settings: Settings, load: LoadModel, n_readers: int) -> None:
        """`load` gives the files of a version, in any thread; `n_readers` read light texts beside the process."""
        kept = settings.model_dump(mode="json", include=_SETTINGS)
        self._configuration = json.dumps({"settings": kept, "readers": n_readers})
        self._load = load
        self._running: _Running | None = None
        self._started_at = 0.0
        self._n_failures = 0
        self._is_closed = False

    async def start(self) -> None:
        """Start the process, which answers as soon as it can."""
        self._started_at = time.monotonic()
        running = _Running(self._configuration, self._load, self._on_end)
        await running.connect()
        self._running = running

    async def small(self, asked: Asked, models: Sequence[SelectedModel]) -> bytes:
        """The answer to a request that is computed together with others. Raises NotLight where it is none of these,
        NotReady, ComputeFault, and the error that the request has."""
        status, body = await self._now_running().small(asked, models)
        if status == NOT_LIGHT:
            raise NotLight
        return outcome(status, body)

    def large(self, name: str, content: dict[str, Any], models: Sequence[SelectedModel]) -> bytes:
        """What the operation `name` of `app.compute` answers; for threads. Raises as `small`, but not NotLight."""
        return outcome(*self._now_running().large(name, content, models))

    async def close(self) -> None:
        """End the process, whatever it is at."""
        self._is_closed = True
        if self._running is not None:
            await asyncio.to_thread(self._running.end)

    def _now_running(self) -> "_Running":
        if self._running is None or self._running.has_ended:
            raise _restarting()
        return self._running

    def _on_end(self, status: int) -> None:
        if self._is_closed:
            return
        MODELS_LOADED.set(0)
        is_steady = time.monotonic() - self._started_at > _STEADY_S
        self._n_failures = 0 if is_steady else self._n_failures + 1
        delay = _RESTART_S[min(self._n_failures, len(_RESTART_S) - 1)]
        log.error("the compute process ended and is started again", status=status, in_s=delay)
        asyncio.get_running_loop().call_later(delay, self._restart)

    def _restart(self) -> None:
        if not self._is_closed:
            self._starting = asyncio.ensure_future(self.start())


class _Running:
    """One process and the sockets to it."""

    def __init__(self, configuration: str, load: LoadModel, on_end: Callable[[int], None]) -> None:
        self._load = load
        self._on_end = on_end
        self.has_ended = False
        ours, theirs = zip(*(socket.socketpair() for _ in range(2 + LARGE_AT_ONCE)), strict=True)
        # Linux ends the process together with the thread that started it: it has to be the event loop's.
        self._process = subprocess.Popen(  # noqa: S603 - a module of this program
            [sys.executable, "-m", _MODULE, str(os.getpid()), configuration, *(str(each.fileno()) for each in theirs)],
            pass_fds=[each.fileno() for each in theirs],
            cwd=PROJECT_ROOT,
            env={k: v for k, v in os.environ.items() if not k.startswith(_KEPT_OUT)},
            stdin=subprocess.DEVNULL,
        )
        for each in theirs:
            each.close()
        self._lane_socket, self._loads, *large = ours
        self._free: SimpleQueue[socket.socket] = SimpleQueue()
        for each in large:
            self._free.put(each)
        self._versions: OrderedDict[str, StoredVersion] = OrderedDict()
        self._lane = LaneClient(self._lane_lost)
        Thread(target=self._serve_loads, name="model-files", daemon=True).start()

    async def connect(self) -> None:
        await asyncio.get_running_loop().create_unix_connection(lambda: self._lane, sock=self._lane_socket)

    def small(self, asked: Asked, models: Sequence[SelectedModel]) -> "asyncio.Future[tuple[int, bytes]]":
        self._remember(models)
        return self._lane.ask(asked, models)

    def large(self, name: str, content: dict[str, Any], models: Sequence[SelectedModel]) -> tuple[int, bytes]:
        self._remember(models)
        connection = self._connection()
        try:
            send(connection, pack_json([name, [pack_model(model) for model in models], content]))
            answer = receive(connection, _MAX_BODY_BYTES)
        except (OSError, EOFError):
            connection.close()
            raise _restarting() from None
        self._give_back(connection)
        status, report, body = unpack_large_answer(answer)
        if report:
            _count(report)
        return status, body

    def end(self) -> int:
        """Kill the process; how it ended, where it did so by itself. Those that wait for it get NotReady."""
        self.has_ended = True
        self._process.kill()  # nothing happens to one that has ended
        status = self._process.wait()
        with suppress(Empty):
            while True:
                self._free.get_nowait().close()
        return status

    def _connection(self) -> socket.socket:
        while not self.has_ended:
            try:
                return self._free.get(timeout=1.0)
            except Empty:
                continue
        raise _restarting()

    def _give_back(self, connection: socket.socket) -> None:
        self._free.put(connection)
        if self.has_ended:
            self.end()

    def _remember(self, models: Sequence[SelectedModel]) -> None:
        """Whose files the process may ask for."""
        for model in models:
            if model.version.id not in self._versions:
                while len(self._versions) >= _MAX_VERSIONS:
                    self._versions.popitem(last=False)
                self._versions[model.version.id] = model.version

    def _lane_lost(self) -> None:
        status = self.end()
        self._on_end(status)

    def _serve_loads(self) -> None:
        try:
            while True:
                name = receive(self._loads, _MAX_BODY_BYTES).decode()
                send(self._loads, self._files(name))
        except (OSError, EOFError):
            self._loads.close()

    def _files(self, version_id: str) -> bytes:
        try:
            manifest, weights, trust = self._load(self._versions[version_id])
        except XtalforgeError as error:
            return bytes([REFUSED]) + pack_json(pack_error(error))
        except Exception as error:
            if is_database_away(error):
                return bytes([REFUSED]) + pack_json(pack_error(database_away()))
            log.exception("a model could not be read", version=version_id)
            fault = XtalforgeError("Something went wrong inside the service while a model was read.")
            return bytes([REFUSED]) + pack_json(pack_error(fault))
        lengths = [len(weights), None if trust is None else len(trust)]
        head = pack_json([manifest.model_dump(mode="json"), lengths])
        return b"".join((bytes([DONE]), len(head).to_bytes(8, "little"), head, weights, trust or b""))


class LaneClient(asyncio.Protocol):
    """Requests and answers of the lane, many at a time."""

    def __init__(self, on_lost: Callable[[], None]) -> None:
        self._on_lost = on_lost
        self._frames = Frames()
        self._next = 0
        self._waiting: dict[int, asyncio.Future[tuple[int, bytes]]] = {}
        self._requests = LaneRequests()
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def ask(self, asked: Asked, models: Sequence[SelectedModel]) -> "asyncio.Future[tuple[int, bytes]]":
        if self._transport is None:
            raise _restarting()
        # 0 is the number of reports.
        self._next = self._next % 0xFFFF_FFFF + 1
        body = self._requests.pack(asked, models)
        reply: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
        self._waiting[self._next] = reply
        self._transport.write(pack_frame(self._next, DONE, body))
        return reply

    def data_received(self, data: bytes) -> None:
        for number, status, body in self._frames.feed(data):
            if number == 0:
                _count(body)
                continue
            reply = self._waiting.pop(number)
            if not reply.done():  # else nobody waits for it any more
                reply.set_result((status, body))

    def connection_lost(self, _error: Exception | None) -> None:
        self._transport = None
        for reply in self._waiting.values():
            if not reply.done():
                reply.set_exception(_restarting())
        self._waiting.clear()
        self._on_lost()


def _count(body: bytes) -> None:
    stages, predictions, n_loaded = json.loads(body)
    for name, seconds in stages:
        observe_stage(name, seconds)
    for model, version, outcome_name, n in predictions:
        count_predictions(model, version, outcome_name, n)
    MODELS_LOADED.set(n_loaded)


def _restarting() -> NotReady:
    return NotReady("The process that computes predictions has ended and is being started again.", retry_after_s=2)
