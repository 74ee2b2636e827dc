"""Logs: one line per event, for people or as JSON, with the request's or the job's id, never with a secret."""

import json
import logging
import os
import re
import sys
from pathlib import Path
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from app.core.settings import LogFormat, LogLevel, Settings

_SECRET_NAME = re.compile(r"password|passwd|secret|token|authorization|api_?key|cookie", re.IGNORECASE)
_URL_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]*:[^/@\s]*(?=@)")
_API_KEY = re.compile(r"(?<=\bxf_)[0-9a-f]{10}_[A-Za-z0-9_-]{20,}")
HIDDEN = "***"

CONTEXT_VARIABLE = "LOG_CONTEXT"
"""Environment variable of a process that works for one job: the ids that all of its lines carry, as JSON."""

UVICORN_LOG_CONFIG = Path(__file__).with_name("uvicorn_logging.json")
"""What `uvicorn --log-config` reads, so that lines before the application is there have the same form."""

_QUIET_LOGGERS = ("alembic", "httpx", "httpx2", "httpcore", "kombu", "multipart", "python_multipart", "torch")


def configure_logging(level: LogLevel = "INFO", log_format: LogFormat = "console") -> None:
    """Route every log of the process, the libraries' too, through one handler on stderr.

    Ids bound with `structlog.contextvars.bind_contextvars(request_id=...)` appear on each line of that request or job.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(log_format))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
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
