"""Swagger UI as a user sees it: in a real Chromium, its examples pressed, nothing loaded from outside."""

import shutil
from typing import Any

import pytest

from tests.e2e.conftest import Running

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")


def _press(page: Any, path: str) -> str:
    """The status of what the example of this POST is answered."""
    operation = page.locator(".opblock-post", has=page.locator(f'[data-path="{path}"]')).first
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    answer = operation.locator(".live-responses-table tbody .response-col_status").first
    answer.wait_for()
    return str(answer.inner_text()).split()[0]


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_examples_work_when_pressed(service: Running) -> None:
    """Also one that names a data set, as soon as there is any."""
    requests: list[str] = []
    faults: list[str] = []
    rows = "\n".join(f"K{n}Cl,{10 + n}" for n in range(1, 31))
    with playwright.sync_playwright() as browsers, service.client() as client:
        upload = {"file": ("salts.csv", f"composition,k_vrh\n{rows}\n")}
        assert client.post("/v1/datasets", files=upload, data={"property": "k_vrh"}).status_code == 201
        browser = browsers.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = browser.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(f"{service.url}/docs")
        assert _press(page, "/v1/predictions") == "200"
        assert _press(page, "/v1/fine-tuning/jobs") == "201"
        browser.close()
        job = client.get("/v1/fine-tuning/jobs", params={"limit": 1}).json()["items"][0]["id"]
        assert client.post(f"/v1/fine-tuning/jobs/{job}/cancel").status_code == 202
    assert not faults
    assert [url for url in requests if not url.startswith((service.url, "data:"))] == []
