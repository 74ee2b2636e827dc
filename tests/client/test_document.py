"""The OpenAPI document tells all: every field, parameter and error; it refers to nothing that it does not hold."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from app.core import errors
from app.core.settings import Settings
from app.main import create_app

NOT_OF_CALLS = {"broker_unavailable", "tutorial_not_found"}
"""The job queue is looked at in the background, no request waits for it; tutorials are pages."""
Node = dict[str, Any]
Document = dict[str, Any]


@pytest.fixture(scope="module")
def document() -> Document:
    return create_app(Settings()).openapi()


def operations(document: Document) -> Iterator[tuple[str, Node]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def fields(document: Document) -> Iterator[tuple[str, Node]]:
    for name, schema in document["components"]["schemas"].items():
        for key, field in schema.get("properties", {}).items():
            yield f"{name}.{key}", field


def described(field: Node, document: Document) -> bool:
    """By itself, or by what it refers to."""
    target = document["components"]["schemas"].get(field.get("$ref", "").rpartition("/")[2], {})
    return bool(field.get("description") or target.get("description"))


def test_every_field_says_what_it_is(document: Document) -> None:
    assert [name for name, field in fields(document) if not described(field, document)] == []


def test_every_field_has_an_example(document: Document) -> None:
    """Or a default, a list of its values, or fields of its own. Form fields have none: Swagger UI would send them."""
    known = ("examples", '"enum"', '"const"', '"default"', '"$ref"')
    without = [name for name, field in fields(document) if not any(word in json.dumps(field) for word in known)]
    assert [name for name in without if not name.startswith("Body_")] == []


def test_every_call_and_parameter_is_described(document: Document) -> None:
    """Path parameters have an example; of others Swagger UI would send it, where leaving them out is right."""
    for name, operation in operations(document):
        assert operation.get("summary"), name
        assert operation.get("description"), name
        for parameter in operation.get("parameters", []):
            assert parameter.get("description"), (name, parameter["name"])
            if parameter["in"] == "path":
                assert "example" in json.dumps(parameter), (name, parameter["name"])


def test_every_error_is_documented(document: Document) -> None:
    """As a problem document that names its codes: on each call those it may answer, and all codes on some call."""
    told = set()
    for name, operation in operations(document):
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                assert "application/problem+json" in response["content"], (name, status)
                assert "(`" in response["description"], (name, status)
                told |= {part.split("`")[0] for part in response["description"].split("(`")[1:]}
        if "requestBody" in operation:
            assert "413" in operation["responses"], name
        if " /v1/" in name:
            assert "(`not_ready`)" in operation["responses"]["503"]["description"], name
    tree = (each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Exception))
    codes = {each.code for each in tree if not each.__subclasses__() and issubclass(each, errors.XtalforgeError)}
    assert codes - told <= NOT_OF_CALLS


def test_bodies_have_examples_and_references_lead_somewhere(document: Document) -> None:
    components = document["components"]
    schemas = components["schemas"]
    for reference in set(json.dumps(document).split('"$ref": "')[1:]):
        target = reference.split('"')[0]
        start, part, kind, name = target.split("/")
        assert (start, part) == ("#", "components") and name in components[kind], target
    for name, operation in operations(document):
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if body is None:
            continue
        schema = schemas.get(body["schema"].get("$ref", "").rpartition("/")[2], body["schema"])
        is_simple = all("examples" in field or "default" in field for field in schema.get("properties", {}).values())
        assert body.get("examples") or schema.get("examples") or is_simple, name
