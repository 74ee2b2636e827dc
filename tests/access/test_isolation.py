"""Two tenants behind one address: route by route, neither finds, changes or learns of what the other has."""

from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest
from fastapi.routing import iter_route_contexts

from app.access.service import MadeKey
from app.core.db import open_session
from app.core.errors import ModelNotFound
from app.core.tenancy import TenantUnknown, of_tenant
from app.core.tenants import SHARED_SCOPE, TenantScope
from app.predictions.directory import ModelDirectory
from app.registry.manifest import Architecture, InputKind
from app.registry.service import RegistryService
from app.registry.store import open_store
from tests.access.conftest import Running, Start
from tests.registry.examples import make_manifest

SHARED_MODEL, MODEL = "energies", "gaps-of-a"
TABLE = {"file": ("gaps.csv", "composition,band_gap\n" + "\n".join(f"Na{n}Cl,{n}" for n in range(1, 41)))}
INPUTS = [{"composition": "NaCl"}]
NO_ID = "0" * 32

COLLECTIONS = {
    ("GET", "/v1/datasets"), ("GET", "/v1/fine-tuning/jobs"), ("GET", "/v1/bulk-predictions"),
    ("GET", "/v1/screenings"), ("GET", "/v1/webhooks"), ("GET", "/v1/webhooks/deliveries"),
}  # fmt: skip
"""Empty for whoever has nothing."""

OF_NOBODY = {
    ("GET", "/v1/access"), ("GET", "/v1/fine-tuning/methods"), ("POST", "/v1/structures"),
    ("POST", "/v1/structures/upload"), ("POST", "/v1/datasets"), ("POST", "/v1/webhooks"),
    ("GET", "/v1/models"), ("GET", "/v1/properties"),
}  # fmt: skip
"""Name nothing that somebody has; the last two are looked at by themselves."""


@dataclass(frozen=True)
class Call:
    method: str
    path: str
    arguments: dict[str, Any] = field(default_factory=dict)
    route: str = ""


@dataclass(frozen=True)
class World:
    service: Running
    a: MadeKey
    b: MadeKey
    ids: dict[str, str]

    def ask(self, key: MadeKey, call: Call, **ids: str) -> Any:
        names = {**self.ids, **ids}
        arguments = {name: _filled(value, names) for name, value in call.arguments.items()}
        headers = self.service.of(key)
        return self.service.client.request(call.method, call.path.format(**names), headers=headers, **arguments)


def _filled(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, str):
        return value.format(**names) if value.startswith("{") and value.endswith("}") else value
    if isinstance(value, dict):
        return {name: _filled(each, names) for name, each in value.items()}
    return [_filled(each, names) for each in value] if isinstance(value, list) else value


def _jobs(prefix: str, *ends: str) -> list[Call]:
    return [Call("GET" if end in READ_ENDS else "POST", f"{prefix}{end}", route=end) for end in ends]


READ_ENDS = ("", "/events", "/results", "/structures", "/report")
CONTROLS = ("/pause", "/resume", "/retry", "/cancel")
WANTED_JOB = {"dataset_id": "{dataset}", "model_name": "of-b", "method": "scratch"}
CALLS = [
    Call("GET", "/v1/datasets/{dataset}"),
    *_jobs("/v1/fine-tuning/jobs/{job}", "", "/report", "/events", *CONTROLS),
    *_jobs("/v1/bulk-predictions/{bulk}", "", "/events", "/results", *CONTROLS),
    *_jobs("/v1/screenings/{screening}", "", "/events", "/results", "/structures", *CONTROLS),
    *_jobs("/v1/webhooks/{webhook}", "", "/test"),
    Call("POST", "/v1/webhooks/deliveries/{delivery}/retry"),
    Call("GET", "/v1/models/{model}"),
    *[
        Call("GET", f"/v1/models/{{model}}{end}")
        for end in (
            "/versions", "/versions/1", "/versions/1/card", "/versions/1/lineage", "/versions/1/download",
            "/aliases/champion", "/aliases/champion/history",
        )
    ],
    Call("PUT", "/v1/models/{model}/aliases/champion", {"json": {"version": 1}}),
    Call("POST", "/v1/fine-tuning/jobs", {"json": WANTED_JOB}),
    Call("POST", "/v1/fine-tuning/jobs", {"json": WANTED_JOB | {"method": "fine_tune", "base_model": "{model}"}}),
    Call("POST", "/v1/bulk-predictions", {"json": {"dataset_id": "{dataset}", "models": [SHARED_MODEL]}}),
    Call("POST", "/v1/bulk-predictions", {"files": TABLE, "data": {"models": "{model}"}}),
    Call("POST", "/v1/screenings", {"json": {"dataset_id": "{dataset}", "models": [SHARED_MODEL],
                                             "properties": ["formation_energy_per_atom"]}}),
    Call("POST", "/v1/screenings", {"json": {"candidates": INPUTS, "models": ["{model}"],
                                             "properties": ["band_gap"]}}),
    Call("POST", "/v1/predictions", {"json": {"inputs": INPUTS, "models": ["{model}"]}}),
    Call("POST", "/v1/predictions/upload", {"files": {"files": ("a.cif", "data_")}, "params": {"models": "{model}"}}),
    Call("POST", "/v1/embeddings", {"json": {"inputs": INPUTS, "model": "{model}"}}),
    Call("POST", "/v1/suggestions", {"json": {"model": "{model}", "candidates": INPUTS}}),
    Call("POST", "/v1/suggestions", {"json": {"model": SHARED_MODEL, "dataset_id": "{dataset}"}}),
    Call("POST", "/v1/models/{model}/aliases/champion/rollback"),
    Call("DELETE", "/v1/models/{model}/aliases/champion"),
    Call("DELETE", "/v1/models/{model}/versions/1"),
    Call("DELETE", "/v1/bulk-predictions/{bulk}"),
    Call("DELETE", "/v1/screenings/{screening}"),
    Call("DELETE", "/v1/webhooks/{webhook}"),
    Call("DELETE", "/v1/datasets/{dataset}"),
]  # fmt: skip


def add_model(service: Running, sessions: Any, name: str, property_key: str, source: str) -> None:
    weights = uuid4().bytes
    manifest = make_manifest(
        name, weights, property_key=property_key, input_kind=InputKind.COMPOSITION, architecture=Architecture.ELEMNET
    )
    with open_session(sessions) as session:
        RegistryService(session, open_store(service.settings)).register_version(manifest, weights, "card", source)


@pytest.fixture
def world(start: Start) -> World:
    service = start(keys="required")
    a, b = service.key(tenant="lab-a"), service.key(tenant="lab-b")
    add_model(service, of_tenant(service.unbound, SHARED_SCOPE), SHARED_MODEL, "formation_energy_per_atom", "shipped")
    add_model(service, service.sessions("lab-a"), MODEL, "band_gap", "import")
    headers = service.of(a)

    def make(path: str, **arguments: Any) -> str:
        answer = service.client.post(path, headers=headers, **arguments)
        assert answer.status_code in (200, 201, 202), answer.text
        return str(answer.json()["id"])

    dataset = make("/v1/datasets", files=TABLE, data={"property": "band_gap"})
    webhook = make("/v1/webhooks", json={"url": "https://93.184.215.14/hook"})
    ids = {
        "dataset": dataset,
        "model": MODEL,
        "webhook": webhook,
        "job": make("/v1/fine-tuning/jobs", json=WANTED_JOB | {"dataset_id": dataset, "model_name": "new"}),
        "bulk": make("/v1/bulk-predictions", json={"dataset_id": dataset, "models": [MODEL]}),
        "screening": make(
            "/v1/screenings", json={"dataset_id": dataset, "models": [MODEL], "properties": ["band_gap"]}
        ),
        "delivery": make(f"/v1/webhooks/{webhook}/test"),
    }
    return World(service, a, b, ids)


def test_every_route_is_looked_at(world: World) -> None:
    contexts = iter_route_contexts(world.service.client.app.routes)  # type: ignore[attr-defined]
    routes = {
        (method, str(context.path))
        for context in contexts
        for method in getattr(context, "methods", None) or ()
        if str(context.path).startswith("/v1/")
    }
    covered = {(call.method, _template(call.path)) for call in CALLS}
    looked_at = {(method, _template(path)) for method, path in routes - COLLECTIONS - OF_NOBODY}
    assert looked_at - covered == set(), "add a call to CALLS for each"


def _template(path: str) -> str:
    """Without the names of parameters."""
    parts = ["*" if part.startswith("{") or part in ("1", "champion") else part for part in path.split("/")]
    return "/".join(parts)


def test_foreign_things_are_not_found(world: World) -> None:
    """What B is told of A's things is what it is told of things that nobody has; to A they are there."""
    for call in CALLS:
        refused = world.ask(world.b, call)
        nothing = {name: _unknown(value) for name, value in world.ids.items()}
        unknown = world.ask(world.b, call, **nothing)
        assert refused.status_code == 404, (call, refused.text)
        assert refused.json()["code"] == unknown.json()["code"], (call, unknown.text)
        told, of_nothing = refused.json()["detail"], unknown.json()["detail"]
        for name, value in world.ids.items():
            told, of_nothing = told.replace(value, "it"), of_nothing.replace(nothing[name], "it")
        assert told == of_nothing, call
    for call in CALLS:
        assert world.ask(world.a, call).status_code != 404, call


def _unknown(value: str) -> str:
    kind, _, number = value.partition("_")
    return f"{kind}_{NO_ID}" if number else "gaps-of-x"


def test_what_one_tenant_asked_for_is_not_remembered_for_another(world: World) -> None:
    directory = ModelDirectory(world.service.unbound, open_store(world.service.settings), fresh_s=60)
    mine, theirs = (directory.of(TenantScope(name)) for name in ("lab-a", "lab-b"))
    assert [model.label for model in mine.select([MODEL], None)] == [f"{MODEL}/1"]
    assert {model.manifest.name for model in mine.select(None, None)} == {MODEL, SHARED_MODEL}
    assert theirs.remembered([MODEL], None) is None
    with pytest.raises(ModelNotFound):
        theirs.select([MODEL], None)
    assert {model.manifest.name for model in theirs.select(None, None)} == {SHARED_MODEL}
    with pytest.raises(TenantUnknown):
        directory.select([SHARED_MODEL], None)


def test_lists_hold_ones_own_only(world: World) -> None:
    for _, path in COLLECTIONS:
        (mine, theirs) = (world.ask(key, Call("GET", path)).json()["items"] for key in (world.a, world.b))
        assert mine and not theirs, path


def test_models_and_properties_hold_ones_own_and_what_is_shared(world: World) -> None:
    for key, expected in ((world.a, {SHARED_MODEL, MODEL}), (world.b, {SHARED_MODEL})):
        models = world.ask(key, Call("GET", "/v1/models")).json()["items"]
        assert {model["name"] for model in models} == expected
        properties = world.ask(key, Call("GET", "/v1/properties")).json()["items"]
        assert {model["name"] for prop in properties for model in prop["models"]} == expected


def test_the_same_rows_keys_and_names_are_ones_own(world: World) -> None:
    service, headers = world.service, world.service.of(world.b)
    again = service.client.post("/v1/datasets", headers=headers, files=TABLE, data={"property": "band_gap"}).json()
    assert again["created"] and again["id"] != world.ids["dataset"]
    wanted = WANTED_JOB | {"dataset_id": again["id"]}
    jobs = []
    for key, dataset in ((world.a, world.ids["dataset"]), (world.b, again["id"])):
        sent = service.of(key) | {"Idempotency-Key": "k"}
        answer = service.client.post("/v1/fine-tuning/jobs", headers=sent, json=wanted | {"dataset_id": dataset})
        assert answer.status_code == 201, answer.text
        jobs.append(answer.json()["id"])
    assert len(set(jobs)) == 2
    add_model(service, service.sessions("lab-b"), MODEL, "band_gap", "import")
    assert world.ask(world.b, Call("GET", "/v1/models/{model}")).status_code == 200
    assert world.ask(world.b, Call("DELETE", "/v1/models/{model}/aliases/champion")).status_code == 204
    assert world.ask(world.a, Call("GET", "/v1/models/{model}/aliases/champion")).status_code == 200


def test_shared_models_are_for_reading(world: World) -> None:
    for method, path, arguments in (
        ("PUT", "/aliases/champion", {"json": {"version": 1}}),
        ("DELETE", "/aliases/champion", {}),
        ("POST", "/aliases/champion/rollback", {}),
        ("DELETE", "/versions/1", {}),
    ):
        call = Call(method, f"/v1/models/{SHARED_MODEL}{path}", arguments)
        answer = world.ask(world.a, call)
        assert (answer.status_code, answer.json()["code"]) == (403, "shared_read_only"), call
    operator = world.service.key()
    call = Call("PUT", f"/v1/models/{SHARED_MODEL}/aliases/staging", {"json": {"version": 1}})
    assert world.ask(operator, call).status_code == 200
    made = Call("POST", "/v1/fine-tuning/jobs", {"json": WANTED_JOB | {"model_name": SHARED_MODEL}})
    assert world.ask(world.a, made).json()["code"] in ("invalid_job", "model_mismatch")
