"""The client: predictions here, everything that is stored in its parts."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx

from xtalforge_client._async.registry import AsyncModels
from xtalforge_client._async.resources import (
    AsyncBulkPredictions,
    AsyncDatasets,
    AsyncFineTuning,
    AsyncScreenings,
    upload_of,
)
from xtalforge_client._async.transport import AsyncTransport
from xtalforge_client._async.webhooks import AsyncWebhooks
from xtalforge_client.batches import (
    CHUNK_SIZE,
    PARALLEL,
    Part,
    PlacedInput,
    embeddings_of,
    errors_of_inputs,
    placed,
    predictions_of,
    smaller_size,
    split,
    structures_of,
)
from xtalforge_client.calls import Answer, Call, settings_of
from xtalforge_client.errors import InputsFailed, ServerError, XtalforgeClientError
from xtalforge_client.frames import joined, rows_of
from xtalforge_client.materials import Material, NamedInput, named_inputs
from xtalforge_client.models import (
    AccessRead,
    EmbeddingAnswer,
    PredictionAnswer,
    PredictionError,
    PropertyList,
    PropertyRead,
    StructuresAnswer,
    SuggestionAnswer,
)
from xtalforge_client.progress import bar
from xtalforge_client.retry import RetryPolicy
from xtalforge_client.waiting import lookahead_async

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_TIMEOUT = httpx.Timeout(120.0, connect=10.0)


class AsyncClient:
    """A client of one server; use it as a context manager, or call `aclose`.

    `url` and `api_key` default to the environment's XTALFORGE_URL (else http://127.0.0.1:8000) and XTALFORGE_API_KEY.
    Calls raise ServerError (with the stable `code` of the problem document) and ServerUnreachable. `transport` is
    httpx's, for proxies and tests.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        retry: RetryPolicy | None = None,
        timeout: httpx.Timeout | float = DEFAULT_TIMEOUT,
        headers: Mapping[str, str] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        address, sent = settings_of(url, api_key, headers or {})
        http = httpx.AsyncClient(base_url=address, headers=sent, timeout=timeout, transport=transport)
        self._transport = AsyncTransport(http, retry or RetryPolicy())
        self.models = AsyncModels(self._transport)
        self.datasets = AsyncDatasets(self._transport)
        self.fine_tuning = AsyncFineTuning(self._transport)
        self.bulk_predictions = AsyncBulkPredictions(self._transport)
        self.screenings = AsyncScreenings(self._transport)
        self.webhooks = AsyncWebhooks(self._transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.http.aclose()

    async def predict(
        self,
        materials: Material | Iterable[Material],
        *,
        models: Sequence[str] | None = None,
        properties: Sequence[str] | None = None,
        interval_level: float | None = None,
        neighbours: int | None = None,
        strict: bool = False,
        chunk_size: int = CHUNK_SIZE,
        parallel: int = PARALLEL,
        progress: bool = False,
    ) -> PredictionAnswer:
        """Values in the order of the materials; what failed is in `errors`, by the same names.

        One material or many: formulas, CIF or POSCAR texts, `pathlib.Path`s, pymatgen, ASE or OPTIMADE objects. Names
        are those that the materials bring (`id`, file name), else their places, from 0. They go in requests of
        `chunk_size`, `parallel` at once. `strict` raises InputsFailed when any has no value. When a request fails for
        good, the error's `partial` is the answer so far.
        """
        asked = {
            "models": models and list(models),
            "properties": properties and list(properties),
            "interval_level": interval_level,
            "neighbours": neighbours,
        }
        answer = await self._predict(named_inputs(materials), asked, chunk_size, parallel, progress)
        if strict and answer.errors:
            raise InputsFailed(answer.errors)
        return answer

    async def predict_frame(
        self, frame: "pd.DataFrame", *, column: str | None = None, chunk_size: int = CHUNK_SIZE,
        parallel: int = PARALLEL, progress: bool = False, **asked: Any,
    ) -> "pd.DataFrame":  # fmt: skip
        """A copy of a table with columns of predictions.

        `column` holds the materials, else the one called cif, poscar, structure, composition or formula. For each
        property P there are `P`, `P_lower`, `P_upper` and `P_in_domain` (`P NAME/VERSION` when several models answer
        for it); `error` says why a row has none; units are in `.attrs["units"]`. Further arguments as of `predict`.
        """
        inputs, failed = rows_of(frame, column)
        answer = PredictionAnswer(predictions=[], errors=[])
        if inputs:
            answer = await self._predict(inputs, asked, chunk_size, parallel, progress)
        answer.errors += [PredictionError(input_id=row, code="unusable_input", detail=why, model=None)
                          for row, why in failed.items()]  # fmt: skip
        return joined(frame, answer)

    async def predict_files(
        self,
        files: Iterable[Path],
        *,
        models: Sequence[str] | None = None,
        properties: Sequence[str] | None = None,
        interval_level: float | None = None,
        neighbours: int | None = None,
    ) -> PredictionAnswer:
        """The same for structure files, or zips of them, as they are, in one request; names are file names."""
        params = {"models": models, "properties": properties, "interval_level": interval_level,
                  "neighbours": neighbours}  # fmt: skip
        uploads = [("files", upload_of(Path(file))) for file in files]
        try:
            return await self._transport.ask(
                Call("POST", "/v1/predictions/upload", params=params, files=uploads), PredictionAnswer
            )
        except ServerError as error:
            failed = errors_of_inputs(error)
            if failed is None:
                raise
            return PredictionAnswer(predictions=[], errors=failed)

    async def embed(
        self,
        materials: Material | Iterable[Material],
        model: str,
        *,
        contributions: bool = False,
        chunk_size: int = CHUNK_SIZE,
        parallel: int = PARALLEL,
        progress: bool = False,
    ) -> EmbeddingAnswer:
        """Feature vectors that a model has learned. Raises InputsFailed when there is none at all."""
        inputs = named_inputs(materials)
        asked = {"model": model, "contributions": contributions}
        parts = [
            part
            async for part in self._parts(
                "/v1/embeddings", asked, EmbeddingAnswer, inputs, chunk_size, parallel, progress
            )
        ]
        answer = embeddings_of(parts, [each.name for each in inputs])
        if answer is None:
            raise InputsFailed([error for part in parts for error in part.errors])
        return answer

    async def read_structures(
        self, materials: Material | Iterable[Material], *, chunk_size: int = CHUNK_SIZE, parallel: int = PARALLEL
    ) -> StructuresAnswer:
        """The whole cell of each crystal, symmetry applied, as models get it."""
        inputs = named_inputs(materials)
        parts = [
            part
            async for part in self._parts("/v1/structures", {}, StructuresAnswer, inputs, chunk_size, parallel, False)
        ]
        return structures_of(parts, [each.name for each in inputs])

    async def read_structure_files(self, files: Iterable[Path]) -> StructuresAnswer:
        """The same for files, or zips of them, as they are."""
        uploads = [("files", upload_of(Path(file))) for file in files]
        return await self._transport.ask(Call("POST", "/v1/structures/upload", files=uploads), StructuresAnswer)

    async def suggest(
        self,
        model: str,
        candidates: Material | Iterable[Material] | None = None,
        *,
        dataset_id: str | None = None,
        count: int = 10,
        strategy: str = "batch",
        target: Mapping[str, Any] | None = None,
        interval_level: float | None = None,
    ) -> SuggestionAnswer:
        """What to measure next: of the candidates, or of the rows of a stored data set. In one request."""
        fields: dict[str, Any] = {
            "model": model, "dataset_id": dataset_id, "count": count, "strategy": strategy, "target": target,
            "interval_level": interval_level,
        }  # fmt: skip
        body = {name: value for name, value in fields.items() if value is not None}
        if candidates is not None:
            body["candidates"] = [{"id": each.name, **each.content} for each in named_inputs(candidates)]
        return await self._transport.ask(Call("POST", "/v1/suggestions", json=body), SuggestionAnswer)

    async def properties(self) -> list[PropertyRead]:
        """What can be predicted, with units and definitions."""
        return (await self._transport.ask(Call("GET", "/v1/properties"), PropertyList)).items

    async def access(self) -> AccessRead:
        """Who the server takes this client for, and what it may do."""
        return await self._transport.ask(Call("GET", "/v1/access"), AccessRead)

    async def is_alive(self) -> bool:
        """Whether the server answers at all."""
        return (await self._transport.send(Call("GET", "/health/live"))).is_success

    async def readiness(self) -> dict[str, Any]:
        """Its parts and their states. Raises Busy (`not_ready`) when it cannot work."""
        found: dict[str, Any] = (await self._transport.send(Call("GET", "/health/ready"))).json()
        return found

    async def _predict(
        self, inputs: Sequence[NamedInput], asked: Mapping[str, Any], chunk_size: int, parallel: int, progress: bool
    ) -> PredictionAnswer:
        names = [each.name for each in inputs]
        parts: list[Part[PredictionAnswer]] = []
        try:
            async for part in self._parts(
                "/v1/predictions", asked, PredictionAnswer, inputs, chunk_size, parallel, progress
            ):
                parts.append(part)  # noqa: PERF401 - what there is must outlive the error
        except XtalforgeClientError as error:
            error.partial = predictions_of(parts, names)
            raise
        return predictions_of(parts, names)

    async def _parts(
        self, path: str, asked: Mapping[str, Any], model: type[Answer], inputs: Sequence[NamedInput], chunk_size: int,
        parallel: int, progress: bool,
    ) -> AsyncIterator[Part[Answer]]:  # fmt: skip
        """What became of each chunk, in order."""
        body = {name: value for name, value in asked.items() if value is not None}
        chunks = split(placed(inputs), chunk_size)
        with bar(progress, len(inputs), path.rpartition("/")[2], "input") as shown:
            done = 0
            async for part in lookahead_async(partial(self._chunk, path, body, model), chunks, parallel):
                shown.update(len(chunks[done]))
                done += 1
                yield part

    async def _chunk(
        self, path: str, body: Mapping[str, Any], model: type[Answer], chunk: Sequence[PlacedInput]
    ) -> Part[Answer]:
        call = Call("POST", path, json={"inputs": [each.request() for each in chunk], **body})
        try:
            return Part([await self._transport.ask(call, model)])
        except ServerError as error:
            size = smaller_size(error, len(chunk))
            failed = errors_of_inputs(error)
            if size is None and failed is None:
                raise
            if size is None:
                return Part(errors=failed or [])
        parts = [await self._chunk(path, body, model, smaller) for smaller in split(chunk, size)]
        return Part([a for part in parts for a in part.answers], [e for part in parts for e in part.errors])
