"""What users ask of the service, drawn at random: each request with what its answer must be."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx
import numpy as np

from tests.workers.conftest import binary_compounds
from xtalforge_client.calls import IDEMPOTENCY_KEY, Call

ENERGY, GAP = "formation_energy_per_atom", "band_gap"
SYMBOLS = ("Li", "Na", "K", "Mg", "Ca", "Sr", "Ti", "Fe", "Zr", "O", "S", "F", "Cl", "N")
SUGGESTING_MODEL = "elemnet-formation-energy"
BULK_ROWS = 300
WEIGHTS: Mapping[str, float] = {
    "upload": 38, "CIF": 14, "composition": 20, "batch": 1.5, "page": 10, "read": 8, "cell": 1, "embedding": 0.5,
    "suggestion": 1, "data set": 1, "refused": 5,
}  # fmt: skip
"""How often each kind is asked, in relation to the others."""
PREDICTIONS = ("upload", "CIF", "composition")
"""Small requests: what a user waits for."""
JOB_WEIGHTS: Mapping[str, float] = {"scratch": 3, "fine_tune": 3, "rf": 2, "bulk": 3, "screening": 2}
TWICE, CANCELLED = 0.2, 0.1
"""Shares of jobs that are sent twice at once, and that are cancelled."""

_LENGTH = re.compile(r"(_cell_length_[abc]\s+)([\d.]+)")
Check = Callable[[httpx.Response], str | None]
"""What is wrong with an answer that says it is good."""


@dataclass(frozen=True, slots=True)
class Ask:
    """`refused_with`: the status that is right; None where the request is good."""

    kind: str
    call: Call
    check: Check
    refused_with: int | None = None


@dataclass(slots=True)
class JobAsk:
    """A job to make and to follow; `path` is where jobs of its kind are."""

    method: str
    path: str
    call: Call
    key: str
    is_sent_twice: bool
    is_cancelled: bool


@dataclass
class Mix:
    """An endless source of requests, the same for the same seed; no structure and no data set comes twice.

    `cifs` is where structures are taken from, each with its cell stretched by up to 1 % in every direction.
    """

    seed: int
    cifs: Sequence[str]
    pages: Sequence[str] = ("/",)
    weights: Mapping[str, float] = field(default_factory=lambda: WEIGHTS)
    job_weights: Mapping[str, float] = field(default_factory=lambda: JOB_WEIGHTS)

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)
        self._jobs = np.random.default_rng([self.seed, 1])
        self._kinds, self._shares = _shares(self.weights)
        self._methods, self._method_shares = _shares(self.job_weights)

    def next(self) -> Ask:
        kind = self._kinds[self._rng.choice(len(self._kinds), p=self._shares)]
        made: Ask = getattr(self, f"_{kind.lower().replace(' ', '_')}")()
        return made

    def next_job(self, dataset_id: str) -> JobAsk:
        rng = self._jobs
        method = self._methods[rng.choice(len(self._methods), p=self._method_shares)]
        key = str(UUID(bytes=rng.bytes(16), version=4))
        path, arguments = self._job(method, dataset_id)
        call = Call("POST", path, headers={IDEMPOTENCY_KEY: key}, **arguments)
        return JobAsk(method, path, call, key, rng.random() < TWICE, rng.random() < CANCELLED)

    def dataset(self) -> Call:
        rows = binary_compounds(round(float(self._rng.uniform(0, 50)), 6))
        form = {"property": "k_vrh", "name": "moduli"}
        return Call("POST", "/v1/datasets", form=form, files=[("file", ("moduli.jsonl", rows))])

    def _cif_text(self) -> str:
        text = self.cifs[self._rng.integers(len(self.cifs))]
        return _LENGTH.sub(lambda found: f"{found[1]}{float(found[2]) * self._rng.uniform(0.99, 1.01):.6f}", text)

    def _formula(self) -> str:
        return "".join(f"{s}{self._rng.integers(1, 9)}" for s in self._rng.choice(SYMBOLS, 3, replace=False))

    def _properties(self) -> list[str]:
        return [[ENERGY], [GAP], [ENERGY, GAP]][self._rng.integers(3)]

    def _upload(self) -> Ask:
        params = {"properties": self._properties()}
        files = [("files", ("structure.cif", self._cif_text().encode()))]
        return Ask("upload", Call("POST", "/v1/predictions/upload", params=params, files=files), _all_answered(1))

    def _cif(self) -> Ask:
        body = {"inputs": [{"cif": self._cif_text()}], "properties": self._properties()}
        return Ask("CIF", Call("POST", "/v1/predictions", json=body), _all_answered(1))

    def _composition(self) -> Ask:
        body = {"inputs": [{"composition": self._formula()}], "properties": [ENERGY]}
        return Ask("composition", Call("POST", "/v1/predictions", json=body), _all_answered(1))

    def _batch(self) -> Ask:
        n = int(self._rng.integers(10, 60))
        body = {"inputs": [{"cif": self._cif_text()} for _ in range(n)], "properties": self._properties()}
        return Ask("batch", Call("POST", "/v1/predictions", json=body), _all_answered(n))

    def _page(self) -> Ask:
        return Ask("page", Call("GET", self.pages[self._rng.integers(len(self.pages))]), lambda _: None)

    def _read(self) -> Ask:
        paths = (
            "/v1/models", "/v1/properties", "/v1/fine-tuning/jobs", "/v1/bulk-predictions", "/v1/screenings",
            "/v1/datasets", "/v1/fine-tuning/methods", "/health/ready",
        )  # fmt: skip
        return Ask("read", Call("GET", paths[self._rng.integers(len(paths))]), _is_json)

    def _cell(self) -> Ask:
        return Ask("cell", Call("POST", "/v1/structures", json={"inputs": [{"cif": self._cif_text()}]}), _is_json)

    def _embedding(self) -> Ask:
        body = {"inputs": [{"cif": self._cif_text()}], "model": "cgcnn-formation-energy"}
        return Ask("embedding", Call("POST", "/v1/embeddings", json=body), _is_json)

    def _suggestion(self) -> Ask:
        candidates = [{"composition": self._formula()} for _ in range(40)]
        body = {"model": SUGGESTING_MODEL, "candidates": candidates, "count": 5}
        return Ask("suggestion", Call("POST", "/v1/suggestions", json=body), _has_suggestions)

    def _data_set(self) -> Ask:
        return Ask("data set", self.dataset(), _is_json)

    def _refused(self) -> Ask:
        status, call = _REFUSED[self._rng.integers(len(_REFUSED))]
        return Ask("refused", call, lambda _: "accepted", status)

    def _job(self, method: str, dataset_id: str) -> tuple[str, dict[str, Any]]:
        if method == "bulk":
            rows = [json.dumps({"id": f"row-{i}", "composition": self._formula()}) for i in range(BULK_ROWS)]
            files = [("file", ("rows.jsonl", "\n".join(rows).encode()))]
            return "/v1/bulk-predictions", {"form": {"properties": [ENERGY]}, "files": files}
        if method == "screening":
            generator = {"kind": "prototypes", "prototypes": ["perovskite"], "sites": {"X": ["O"]}, "elements":
                         [str(s) for s in self._jobs.choice(["Ca", "Sr", "Ba", "La", "Ti", "Zr", "Hf", "Sn", "Al"], 7,
                                                            replace=False)]}  # fmt: skip
            objective = {"property": ENERGY, "goal": "minimise"}
            return "/v1/screenings", {"json": {"generator": generator, "objectives": [objective], "count": 5}}
        short = {"n_folds": 2} if method == "rf" else {"max_epochs": 12}
        name = f"{method.replace('_', '-')}-{self._jobs.integers(3)}"
        body = {"dataset_id": dataset_id, "model_name": name, "method": method, "hyperparameters": short,
                "seed": int(self._jobs.integers(1000))}  # fmt: skip
        return "/v1/fine-tuning/jobs", {"json": body}


def _shares(weights: Mapping[str, float]) -> tuple[list[str], "np.ndarray[Any, Any]"]:
    shares = np.array(list(weights.values()), float)
    return list(weights), shares / shares.sum()


def _all_answered(n: int) -> Check:
    def check(response: httpx.Response) -> str | None:
        body = response.json()
        answered = {each["input_id"] for each in body["predictions"]}
        if body["errors"] or len(answered) != n:
            return f"{len(answered)} of {n} inputs have values; {[each['code'] for each in body['errors']][:3]}"
        return None

    return check


def _is_json(response: httpx.Response) -> str | None:
    return None if isinstance(response.json(), dict) else "no object"


def _has_suggestions(response: httpx.Response) -> str | None:
    n = len(response.json()["suggestions"])
    return None if n == 5 else f"{n} suggestions instead of 5"


def _bad_prediction(given: dict[str, Any], **more: Any) -> Call:
    return Call("POST", "/v1/predictions", json={"inputs": [given], **more})


_NOBODY = "job_00000000000000000000000000000000"
_REFUSED = (
    (422, _bad_prediction({"cif": "hello"})),
    (422, _bad_prediction({"composition": "Xx2O"})),
    (422, _bad_prediction({"cif": "data_x\n_cell_length_a 3\n"})),
    (422, _bad_prediction({})),
    (404, _bad_prediction({"composition": "NaCl"}, models=["nope"])),
    (404, Call("GET", f"/v1/fine-tuning/jobs/{_NOBODY}")),
    (404, Call("GET", f"/v1/screenings/{_NOBODY}/results")),
    (404, Call("GET", "/v1/nothing")),
    (405, Call("PUT", "/v1/predictions", json={})),
    (422, Call("POST", "/v1/datasets", form={"property": "k_vrh"}, files=[("file", ("x.csv", b"a,b\n1,2\n"))])),
    (422, Call("POST", "/v1/predictions/upload", files=[("files", ("x.zip", b"PK\x03\x04 no zip"))])),
    (422, Call("POST", "/v1/bulk-predictions", form={}, files=[("file", ("x.parquet", b"no parquet"))])),
)  # fmt: skip
