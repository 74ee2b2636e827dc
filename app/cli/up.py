"""`xtalforge up`: broker, worker and API of one machine as child processes of one command."""

import asyncio
import fcntl
import shutil
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import httpx
import typer

from app.access.openness import KeysNeeded, refuse_open
from app.cli.broker import LOOPBACK, broker_service, broker_url, free_port, new_password
from app.cli.installation import DataDirOption, open_database, settings_with
from app.cli.output import EXIT_ERROR, print_error
from app.cli.supervisor import Service, ServiceFailed, Supervisor
from app.core.logging import UVICORN_LOG_CONFIG
from app.core.settings import Settings

LOCK_FILE = "up.lock"
METRICS_FOLDER = "metrics"
READY_POLL_S = 0.1
API_STOP_S = 3
KEEP_ALIVE_S = 75
"""Longer than clients (5 s) and proxies (60 s) keep idle connections: one that the server closes just when the next
request is sent breaks that request."""
API_SILENCE_S = 60
"""An API process that is silent for this long is replaced, where there are several. Loading models takes seconds.

One that dies is replaced at once, but after this long if it dies between a question of the supervisor and its answer.
"""
_COLOURS = {"broker": 35, "worker": 33, "api": 36, "xtalforge": 32}
# Many threads that allocate side by side would keep a heap each.
_API_ENVIRONMENT = {"MALLOC_ARENA_MAX": "2"}
_EVERY_ADDRESS = ("0.0.0.0", "::", "")  # noqa: S104


class CannotStart(Exception):
    """Why `up` refuses to start, as a sentence."""


def up(
    host: Annotated[str | None, typer.Option(help="Address of the API. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port of the API. [default: 8000]")] = None,
    api_workers: Annotated[int | None, typer.Option(min=1, help="API processes. [default: 1]")] = None,
    data_dir: DataDirOption = None,
) -> None:
    """Run the whole service here until Ctrl-C: database, broker, one worker and the API."""
    settings = settings_with(host=host, port=port, api_workers=api_workers, data_dir=data_dir)
    try:
        with _exclusive(settings.data_dir):
            _refuse_busy_port(settings.host, settings.port)
            asyncio.run(_run(settings))
    except (CannotStart, ServiceFailed) as error:
        print_error(str(error), "cannot_start" if isinstance(error, CannotStart) else "service_failed")
        raise typer.Exit(EXIT_ERROR) from None


@contextmanager
def _exclusive(data_dir: Path) -> Iterator[None]:
    """Hold the data folder for this process: two brokers or two databases' writers on it would fight."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        lock = (data_dir / LOCK_FILE).open("a")
    except OSError as error:
        raise CannotStart(f"The data folder {data_dir} cannot be written: {error.strerror}.") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotStart(
                f"Another `xtalforge up` runs on the data folder {data_dir}. Stop it, or give this one another folder "
                "with --data-dir."
            ) from None
        yield


def _refuse_busy_port(host: str, port: int) -> None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise CannotStart(
            f"The API cannot listen on {host}:{port} ({error.strerror}). Stop the program that does, or choose another "
            "port with --port or XTALFORGE_PORT."
        ) from None


async def _run(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    supervisor = Supervisor(_report)
    try:
        await asyncio.to_thread(_prepare_database, settings)
        kept = [await supervisor.start(service) for service in _services(settings)]
        ready = asyncio.create_task(_announce(settings))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([*kept, stopping], return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        for task in kept:
            if task.done():
                task.result()
        _report("xtalforge", "stopping")
    finally:
        await supervisor.stop()
        _report("xtalforge", "stopped")


def _prepare_database(settings: Settings) -> None:
    """Bring it to this version's schema. Raises CannotStart when the service would be open to others."""
    from app.access.keyring import KeyRing

    with open_database(settings) as sessions:
        has_keys = KeyRing(sessions, settings.access.cache_s).look()
    try:
        refuse_open(settings.host, settings.access.keys, has_keys=has_keys)
    except KeysNeeded as error:
        raise CannotStart(error.detail) from None


def _services(settings: Settings) -> Iterator[Service]:
    """In the order of their start. The broker is ours only where the settings name no other."""
    environment = {
        "XTALFORGE_DATA_DIR": str(settings.data_dir),
        "XTALFORGE_HOST": settings.host,
        "XTALFORGE_PORT": str(settings.port),
        "PYTHONUNBUFFERED": "1",
    }
    if settings.broker_url is None:
        port, password = free_port(), new_password()
        environment["XTALFORGE_BROKER_URL"] = broker_url(port, password)
        yield broker_service(settings.data_dir / "broker", port, password)
    api_environment = {**_API_ENVIRONMENT, **_metrics_environment(settings), **environment}
    yield Service("api", api_command(settings), api_environment, grace_s=API_STOP_S + 2)
    yield Service("worker", _worker_command(), environment)


def _metrics_environment(settings: Settings) -> dict[str, str]:
    """Several API processes add up their metrics in files; those of the last start would be counted again."""
    if settings.api_workers == 1:
        return {}
    folder = settings.data_dir / METRICS_FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return {"PROMETHEUS_MULTIPROC_DIR": str(folder)}


def api_command(settings: Settings, application: str = "app.main:app") -> list[str]:
    """How the API processes are started, as one process or the parent of several."""
    return [
        *(sys.executable, "-m", "app.web.uvicorn_start", application),
        *("--host", settings.host, "--port", str(settings.port)),
        *("--loop", "uvloop", "--http", "app.web.connections:BoundedProtocol"),
        *("--no-access-log", "--log-config", str(UVICORN_LOG_CONFIG)),
        *("--timeout-graceful-shutdown", str(API_STOP_S), "--timeout-keep-alive", str(KEEP_ALIVE_S)),
        *("--log-level", settings.log_level.lower()),
        *_several(settings.api_workers),
    ]


def _several(api_workers: int) -> list[str]:
    if api_workers == 1:
        return []
    return ["--workers", str(api_workers), "--timeout-worker-healthcheck", str(API_SILENCE_S)]


def _worker_command() -> list[str]:
    return [
        *(sys.executable, "-m", "celery", "--quiet", "--app", "workers.celery_app", "worker"),
        *("--concurrency", "1", "--without-gossip", "--without-mingle"),
    ]


async def _announce(settings: Settings) -> None:
    url = _local_url(settings)
    async with httpx.AsyncClient(trust_env=False) as client:
        while True:
            try:
                if (await client.get(f"{url}/health/ready", timeout=5)).is_success:
                    break
            except httpx.TransportError:
                pass
            await asyncio.sleep(READY_POLL_S)
    for line in (
        "ready",
        f"  page                        {url}/",
        f"  API and its documentation   {url}/docs",
        f"  data                        {settings.data_dir}",
    ):
        _report("xtalforge", line)
    _report("xtalforge", "  stop                        Ctrl-C")


def _local_url(settings: Settings) -> str:
    host = LOOPBACK if settings.host in _EVERY_ADDRESS else settings.host
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def _report(name: str, line: str) -> None:
    label = f"{name:<9} |"
    if sys.stdout.isatty():
        label = f"\033[{_COLOURS.get(name, 37)}m{label}\033[0m"
    try:
        sys.stdout.write(f"{label} {line}\n")
        sys.stdout.flush()
    except OSError:  # nobody reads any more, e.g. the terminal was closed
        return
