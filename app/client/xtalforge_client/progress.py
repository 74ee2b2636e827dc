"""Progress bars, where they are asked for and tqdm is installed."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, cast

from xtalforge_client.errors import XtalforgeClientError


class Bar(Protocol):
    """What is used of a `tqdm` bar."""

    total: float | None
    n: float

    def update(self, n: float) -> Any: ...

    def set_postfix_str(self, s: str) -> None: ...


class _NoBar:
    total: float | None = None
    n: float = 0

    def update(self, n: float) -> None: ...

    def set_postfix_str(self, s: str) -> None: ...


def bar(wanted: bool, total: int | None, title: str, unit: str) -> AbstractContextManager[Bar]:
    """A bar on standard error, or one that shows nothing."""
    if not wanted:
        return nullcontext(_NoBar())
    try:
        from tqdm import tqdm
    except ImportError:
        raise XtalforgeClientError("progress=True needs tqdm: pip install 'xtalforge-client[progress]'") from None
    return cast("AbstractContextManager[Bar]", tqdm(total=total, desc=title, unit=unit))


def show(shown: Bar, job: Any) -> None:
    """Move a bar to where a job stands: epochs of a training, fits of a baseline, inputs of a job over a file."""
    progress, search = getattr(job, "progress", None), getattr(job, "search", None)
    if progress is not None and hasattr(progress, "epoch"):
        done, shown.total = progress.epoch, progress.max_epochs
        shown.set_postfix_str(f"{job.status}, best validation MAE {progress.best_val_mae:.4g} {progress.unit}")
    elif search is not None:
        done, shown.total = search.done, search.total
        shown.set_postfix_str(f"{job.status}, {search.text}")
    elif progress is not None:
        done, shown.total = progress.done, progress.total
        shown.set_postfix_str(f"{job.status}, {progress.failed} failed")
    else:
        shown.set_postfix_str(str(job.status))
        return
    shown.update(done - shown.n)
