"""The kinds of long work, as `Job.kind` has them."""

from enum import StrEnum


class JobKind(StrEnum):
    FINE_TUNING = "fine_tuning"
    BULK_PREDICTION = "bulk_prediction"
    SCREENING = "screening"

    @property
    def label(self) -> str:
        """In words: `bulk prediction`."""
        return _LABELS[self]

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
