"""Logs: one line per event, for people or as JSON, with the request's or the job's id, never with a secret."""

import json
import logging
import os
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from app.core.settings import LogFormat, LogLevel, Settings

_SECRET_NAME = re.compile(r"password|passwd|secret|token|authorization|api_?key|cookie", re.IGNORECASE)
_URL_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]*:[^/@\s]*(?=@)")
_KEY_PREFIX = "xf_"
_API_KEY = re.compile(r"(?<=xf_)[0-9a-f]{10}_[A-Za-z0-9_-]{20,}")
_PLAIN = re.compile(r"[A-Za-z0-9._+/%~-]+")
_EVENT_WIDTH = 30
HIDDEN = "***"

CONTEXT_VARIABLE = "LOG_CONTEXT"
"""Environment variable of a process that works for one job: the ids that all of its lines carry, as JSON."""

UVICORN_LOG_CONFIG = Path(__file__).with_name("uvicorn_logging.json")
"""What `uvicorn --log-config` reads, so that lines before the application is there have the same form."""

_QUIET_LOGGERS = ("alembic", "httpx", "httpx2", "httpcore", "kombu", "multipart", "python_multipart", "torch")


def configure_logging(level: LogLevel = "INFO", log_format: LogFormat = "console") -> None:
    """Route every log and warning of the process, the libraries' too, through one handler on stderr.

    Ids bound with `structlog.contextvars.bind_contextvars(request_id=...)` appear on each line of that request or job.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_PlainFormatter(_formatter(log_format), log_format))
    # No line shows which thread, task or process wrote it.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    logging.captureWarnings(True)
    for name in _QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def service_formatter() -> logging.Formatter:
    """The formatter that the settings ask for."""
    return _formatter(Settings().log_format)


def log_line(name: str, text: str) -> str:
    """What a logger of this name would write at level info, for those that may not use one."""
    return service_formatter().format(logging.LogRecord(name, logging.INFO, "", 0, text, None, None)) + "\n"


def log_context() -> dict[str, str]:
    """The ids bound here, as the environment of a process that works for the same request or job."""
    bound = structlog.contextvars.get_contextvars()
    return {CONTEXT_VARIABLE: json.dumps({name: str(value) for name, value in bound.items()})}


def _formatter(log_format: LogFormat) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_shared(),
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *_renderer(log_format),
            hide_credentials,
        ],
    )


def _shared() -> list[Processor]:
    inherited = json.loads(os.environ.get(CONTEXT_VARIABLE, "{}"))

    def add_inherited(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {**inherited, **event}

    return [
        structlog.contextvars.merge_contextvars,
        *([add_inherited] if inherited else []),
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        hide_secrets,
    ]


class PlainLines:
    """Frequent lines of level info at a fifth of the usual cost: the line that `get_logger` would give.

    Where a value is not plain, so that something may have to be quoted or hidden, it goes the usual way.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._log = get_logger(name)
        self._logger = logging.getLogger(name)
        self._may = CONTEXT_VARIABLE not in os.environ and not sys.stderr.isatty()

    def info(self, event: str, **values: Any) -> None:
        if not self._logger.isEnabledFor(logging.INFO):
            return
        everything = {**structlog.contextvars.get_contextvars(), **values}
        if not self._may or not all(map(_is_plain, everything.items())):
            self._log.info(event, **values)
            return
        line = _PlainLine(event, everything)
        self._logger.handle(logging.LogRecord(self._name, logging.INFO, "", 0, line, None, None))


class _PlainLine(NamedTuple):
    event: str
    values: dict[str, Any]


class _PlainFormatter(logging.Formatter):
    """Writes plain lines itself."""

    def __init__(self, thorough: logging.Formatter, log_format: LogFormat) -> None:
        super().__init__()
        self._thorough = thorough
        self._is_json = log_format == "json"

    def format(self, record: logging.LogRecord) -> str:
        line: object = record.msg
        if not isinstance(line, _PlainLine):
            return self._thorough.format(record)
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        if self._is_json:
            standard = {"event": line.event, "level": "info", "logger": record.name, "timestamp": now}
            return json.dumps({**line.values, **standard})
        shown = " ".join(f"{name}={line.values[name]}" for name in sorted(line.values))
        return f"{now} [info     ] {line.event:<{_EVENT_WIDTH}} [{record.name}] {shown}"


def _is_plain(entry: tuple[str, Any]) -> bool:
    name, value = entry
    if _SECRET_NAME.search(name):
        return False
    if isinstance(value, str):
        return _PLAIN.fullmatch(value) is not None and _KEY_PREFIX not in value
    return value is None or isinstance(value, int | float)


def _renderer(log_format: LogFormat) -> list[Processor]:
    if log_format == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    return [
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            # The default prints local variables: slow, and they may hold what nobody should read.
            exception_formatter=structlog.dev.plain_traceback,
        )
    ]


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger that takes an event and key-value pairs: `log.info("model registered", model=name)`."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def hide_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace values whose name says they are secret."""
    return {key: HIDDEN if _SECRET_NAME.search(key) else value for key, value in event.items()}


def hide_credentials(_logger: WrappedLogger, _method: str, line: Any) -> str:
    """Replace API keys and the credentials inside URLs in a finished line, wherever they stand, in a traceback too."""
    return _API_KEY.sub(HIDDEN, _URL_CREDENTIALS.sub(HIDDEN, line))
