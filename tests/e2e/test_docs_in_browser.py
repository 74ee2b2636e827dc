"""Swagger UI as a user sees it: in a real Chromium, its examples pressed, nothing loaded from outside."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest

from tests.e2e.conftest import Running, wait_for

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")


FILES = ("/v1/predictions/upload", "/v1/structures/upload", "/v1/datasets")
"""Calls that take nothing but a file, which Swagger UI cannot choose for anybody."""
ENDLESS = "/events"


def _press(page: Any, method: str, path: str) -> tuple[str, str]:
    """The status of what the example of this call is answered, and the answer."""
    operation = page.locator(f".opblock-{method}", has=page.locator(f'[data-path="{path}"]')).first
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    answer = operation.locator(".live-responses-table tbody .response-col_status").first
    answer.wait_for()
    status, text = str(answer.inner_text()).split()[0], operation.inner_text()
    operation.locator(".opblock-summary-control").click()
    return status, text


def _makers(document: Any) -> list[tuple[str, str]]:
    paths = [path for path, calls in document["paths"].items() if "post" in calls]
    return [("post", path) for path in paths if "{" not in path and path not in FILES]


def _readers(document: Any) -> list[tuple[str, str]]:
    return [("get", path) for path, calls in document["paths"].items() if "get" in calls and not path.endswith(ENDLESS)]


@contextmanager
def _swagger(service: Running) -> Iterator[Any]:
    """The page; it must ask for nothing outside, and have no fault."""
    requests: list[str] = []
    faults: list[str] = []
    with playwright.sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = browser.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(f"{service.url}/docs")
        yield page
        browser.close()
    assert not faults
    assert [url for url in requests if not url.startswith((service.url, "data:"))] == []


def _failed(page: Any, calls: list[tuple[str, str]]) -> dict[tuple[str, str], tuple[str, str]]:
    answers = {call: _press(page, *call) for call in calls}
    return {call: answer for call, answer in answers.items() if not answer[0].startswith("2")}


def _without_data_sets(client: httpx2.Client) -> None:
    for dataset in client.get("/v1/datasets", params={"limit": 100}).json()["items"]:
        url = f"/v1/datasets/{dataset['id']}"
        wait_for(lambda url=url: client.delete(url).status_code == 204, f"the end of jobs that use {url}")


def _newest_job(client: httpx2.Client, kind: str) -> str:
    return str(client.get(f"/v1/{kind}", params={"limit": 1}).json()["items"][0]["id"])


@needs_chromium
def test_what_is_made_by_pressing(service: Running) -> None:
    """Also what names a data set, where there is none."""
    with service.client() as client:
        _without_data_sets(client)
        with _swagger(service) as page:
            assert _failed(page, _makers(client.get("/openapi.json").json())) == {}
        job = _newest_job(client, "fine-tuning/jobs")
        assert client.post(f"/v1/fine-tuning/jobs/{job}/cancel").status_code == 202


@needs_chromium
@pytest.mark.proof
def test_every_example_works_when_pressed(service: Running) -> None:
    """What is made, and then, with ids of what was made filled in by itself, what is read."""
    with service.client() as client, _swagger(service) as page:
        document = client.get("/openapi.json").json()
        _without_data_sets(client)
        assert _failed(page, _makers(document)) == {}
        for kind in ("fine-tuning/jobs", "screenings", "bulk-predictions"):
            url = f"/v1/{kind}/{_newest_job(client, kind)}"
            wait_for(lambda url=url: client.get(url).json()["status"] == "succeeded", f"the end of {url}")
        readers = _readers(document)
        assert _failed(page, readers) == {}
        assert len(readers) > 25
