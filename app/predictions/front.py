"""Predictions as routes ask for them: bytes of answers, from the compute process."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol

from starlette.concurrency import run_in_threadpool

from app.core.errors import TooManyInputs
from app.core.settings import LimitSettings
from app.predictions.compute_client import Compute
from app.predictions.compute_messages import pack_inputs, pack_wishes
from app.predictions.inputs import RawInput
from app.predictions.selection import SelectedModel
from app.predictions.service import Asked

_renewals: set["asyncio.Task[None]"] = set()
"""The event loop itself keeps no hold of them."""


class Directory(Protocol):
    """Who knows which models answer: ModelDirectory, or what a tenant sees of it."""

    def ask(self, models: Sequence[str] | None, properties: Sequence[str] | None) -> list[SelectedModel]: ...

    def is_to_renew(self, models: Sequence[str] | None, properties: Sequence[str] | None) -> bool: ...

    def remembered(
        self, models: Sequence[str] | None, properties: Sequence[str] | None
    ) -> list[SelectedModel] | None: ...


async def choose(
    directory: Directory, models: Sequence[str] | None, properties: Sequence[str] | None
) -> list[SelectedModel]:
    """As `ModelDirectory.select`, without blocking the event loop."""
    found = directory.remembered(models, properties)
    if found is None:
        return await run_in_threadpool(directory.ask, models, properties)
    if directory.is_to_renew(models, properties):
        renewal = asyncio.create_task(_renew(directory, models, properties))
        _renewals.add(renewal)
        renewal.add_done_callback(_renewals.discard)
    return found


async def _renew(directory: Directory, models: Sequence[str] | None, properties: Sequence[str] | None) -> None:
    # Whoever asks once the answer is too old is told what is wrong.
    with suppress(Exception):
        await run_in_threadpool(directory.ask, models, properties)


class Predictions:
    """Answers by models that were chosen, as JSON. What is large blocks: it is meant for a worker thread."""

    def __init__(self, compute: Compute, limits: LimitSettings) -> None:
        self._compute = compute
        self._limits = limits

    async def small(self, asked: Asked, models: Sequence[SelectedModel]) -> bytes:
        """Raises NotLight for a request that has to be asked as a large one, and as `PredictionService.predict`."""
        self._refuse_too_many(asked.inputs)
        return await self._compute.small(asked, models)

    def predict(self, asked: Asked, models: Sequence[SelectedModel]) -> bytes:
        """Raises as `PredictionService.predict`, NotReady, ComputeFault."""
        self._refuse_too_many(asked.inputs)
        content = {"inputs": pack_inputs(asked.inputs), "wishes": pack_wishes(asked.wishes)}
        return self._compute.large("predict", content, models)

    def embed(self, inputs: Sequence[RawInput], model: SelectedModel, *, contributions: bool) -> bytes:
        """Raises as `EmbeddingService.embed`, NotReady, ComputeFault."""
        self._refuse_too_many(inputs)
        content = {"inputs": pack_inputs(inputs), "contributions": contributions}
        return self._compute.large("embed", content, [model])

    def suggest(self, candidates: Sequence[RawInput], wish: dict[str, Any], model: SelectedModel) -> bytes:
        """`wish` as SuggestionWish. Raises as `SuggestionService.suggest`, NotReady, ComputeFault."""
        return self._compute.large("suggest", {"inputs": pack_inputs(candidates), "wish": wish}, [model])

    def prepare(self) -> None:
        """Start what the first large structure would otherwise have to wait for."""
        self._compute.large("prepare", {}, [])

    def _refuse_too_many(self, inputs: Sequence[RawInput]) -> None:
        most = self._limits.max_inputs_per_request
        if len(inputs) > most:
            raise TooManyInputs(
                f"One request may have {most:,} inputs; this one has {len(inputs):,}. Split it.", limit=most
            )
