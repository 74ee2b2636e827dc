"""The sending side of the broker: a message that wakes a worker and says which job to look at, nothing else."""

from typing import Any

from celery import Celery
from kombu.exceptions import ChannelError, OperationalError

from app.core.errors import BrokerUnavailable
from app.jobs.kinds import QueueName

RUN_JOB_TASK = "xtalforge.run_job"
QUEUES = {QueueName.TRAINING: "xtalforge", QueueName.BULK: "xtalforge-bulk"}
"""What the broker calls them."""

SOCKET_TIMEOUT_S = 2.0

PRODUCER_SETTINGS: dict[str, Any] = {
    "task_ignore_result": True,
    "task_serializer": "json",
    "accept_content": ["json"],
    "task_default_queue": QUEUES[QueueName.TRAINING],
    "broker_connection_timeout": SOCKET_TIMEOUT_S,
    # Without `max_retries` the transport would look for a broker that is down for ever, inside the request.
    "broker_transport_options": {
        "socket_connect_timeout": SOCKET_TIMEOUT_S, "socket_timeout": SOCKET_TIMEOUT_S,
        "max_retries": 1, "interval_start": 0, "interval_step": 0.1, "interval_max": 0.1,
        "connect_retries_timeout": SOCKET_TIMEOUT_S,
    },
}  # fmt: skip


class JobQueue:
    """Sends job ids; safe to use from several threads."""

    def __init__(self, broker_url: str) -> None:
        self._celery = Celery("xtalforge-producer", broker=broker_url, set_as_current=False)
        self._celery.conf.update(PRODUCER_SETTINGS)

    def send(self, job_id: str, queue: QueueName = QueueName.TRAINING) -> None:
        """Wake a worker. Raises BrokerUnavailable within seconds when nobody takes the message."""
        try:
            self._celery.send_task(RUN_JOB_TASK, args=[job_id], queue=QUEUES[queue], retry=False)
        except (OperationalError, OSError) as error:
            raise BrokerUnavailable(
                "The job queue cannot be reached at the moment; waiting jobs start when it is back."
            ) from error

    def is_empty(self) -> bool:
        """Whether no message waits for a worker. Raises BrokerUnavailable."""
        return not any(self.n_waiting().values())

    def n_waiting(self) -> dict[QueueName, int]:
        """Messages that no worker has taken. Raises BrokerUnavailable."""
        connection = self._celery.connection_for_write()
        try:
            with connection:
                return {queue: _n_messages(connection, name) for queue, name in QUEUES.items()}
        except (OperationalError, *connection.connection_errors, *connection.channel_errors) as error:
            raise BrokerUnavailable("The job queue cannot be reached at the moment.") from error

    def close(self) -> None:
        self._celery.close()


def _n_messages(connection: Any, name: str) -> int:
    with connection.channel() as channel:
        try:
            return int(channel.queue_declare(queue=name, passive=True).message_count)
        except ChannelError:  # an empty queue does not exist in Redis
            return 0
