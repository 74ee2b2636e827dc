"""The kinds of long work, as `Job.kind` has them."""

from enum import StrEnum


class QueueName(StrEnum):
    """Queues of the broker, by the names that `XTALFORGE_JOBS__QUEUES` has."""

    TRAINING = "training"
    BULK = "bulk"


class JobKind(StrEnum):
    FINE_TUNING = "fine_tuning"
    BULK_PREDICTION = "bulk_prediction"
    SCREENING = "screening"

    @property
    def label(self) -> str:
        """In words: `bulk prediction`."""
        return _LABELS[self]

    @property
    def queue(self) -> QueueName:
        """Where its messages go."""
        return QueueName.TRAINING if self is JobKind.FINE_TUNING else QueueName.BULK

    @property
    def path(self) -> str:
        """Where the API has jobs of this kind."""
        return _PATHS[self]


_LABELS = {
    JobKind.FINE_TUNING: "fine-tuning", JobKind.BULK_PREDICTION: "bulk prediction", JobKind.SCREENING: "screening",
}  # fmt: skip

_PATHS = {
    JobKind.FINE_TUNING: "/v1/fine-tuning/jobs", JobKind.BULK_PREDICTION: "/v1/bulk-predictions",
    JobKind.SCREENING: "/v1/screenings",
}  # fmt: skip


def kinds_of(queue: QueueName) -> list[JobKind]:
    return [kind for kind in JobKind if kind.queue is queue]
