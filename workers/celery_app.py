"""The Celery application of the workers: `celery -A workers.celery_app worker`.

SQL owns every job (lease, fencing token, attempts); the broker only wakes a worker. So a message that is lost, late
or delivered twice costs nothing, and these settings need no result backend and no long broker promises.
"""

import os
from collections.abc import Callable
from typing import Any

import celery.apps.worker
from celery import Celery, signals

from app.core.logging import configure_logging, log_line
from app.core.settings import Settings
from app.jobs.kinds import QueueName
from app.jobs.queue import QUEUES
from workers import runtime

VISIBILITY_TIMEOUT_S = 6 * 3600
_STDERR = 2

WORKER_SETTINGS: dict[str, Any] = {
    "include": ["workers.tasks"],
    "accept_content": ["json"],
    "task_serializer": "json",
    "result_serializer": "json",
    "task_default_queue": QUEUES[QueueName.TRAINING],
    "task_ignore_result": True,
    # Safe because the claim in SQL makes a second delivery a no-op and caps the attempts.
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    "worker_prefetch_multiplier": 1,
    "worker_pool": "prefork",
    "worker_concurrency": 1,
    # After the broker's timeout the message of a long job is delivered again; its claim fails while the lease lives.
    "visibility_timeout": VISIBILITY_TIMEOUT_S,
    "broker_transport_options": {
        "visibility_timeout": VISIBILITY_TIMEOUT_S, "socket_keepalive": True, "health_check_interval": 25,
        # Neither kind of work can keep the other waiting for ever.
        "queue_order_strategy": "round_robin",
    },
    "broker_connection_retry": True,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    # A broker that was restarted for a minute must not end a training run of hours.
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    "worker_soft_shutdown_timeout": 45.0,
    "worker_enable_soft_shutdown_on_idle": True,
    "worker_hijack_root_logger": False,
    "enable_utc": True,
    "timezone": "UTC",
}  # fmt: skip


def create_celery_app(settings: Settings) -> Celery:
    app = Celery("xtalforge", broker=settings.resolved_broker_url)
    names = [QUEUES[QueueName(queue)] for queue in settings.jobs.served_queues]
    app.conf.update(WORKER_SETTINGS, task_queues={name: {"exchange": name, "routing_key": name} for name in names})
    return app


def _configure_logging(**_: Any) -> None:
    settings = Settings()
    configure_logging(settings.log_level, settings.log_format)


def _say(text: str, *_: Any) -> None:
    """Write what Celery says while it shuts down as a line like all others: in signal handlers, so it takes no lock."""
    os.write(_STDERR, log_line("celery.worker", text).encode())


def _on(action: Callable[[], None]) -> Callable[..., None]:
    return lambda **_: action()


celery.apps.worker.safe_say = _say
# Celery warns before it asks for logging to be set up.
signals.celeryd_init.connect(_configure_logging)
signals.setup_logging.connect(_configure_logging)
signals.worker_init.connect(_on(runtime.name_this_worker), weak=False)
signals.worker_ready.connect(_on(runtime.start_watch), weak=False)
signals.worker_shutting_down.connect(_on(runtime.release_jobs), weak=False)
signals.worker_process_init.connect(_on(runtime.forget_inherited_connections), weak=False)

celery_app = create_celery_app(Settings())
