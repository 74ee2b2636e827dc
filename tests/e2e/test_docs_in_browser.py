"""Swagger UI as a user sees it: in a real Chromium, its example pressed, nothing loaded from outside."""

import shutil

import pytest

from tests.e2e.conftest import Running

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_the_first_example_works_when_pressed(service: Running) -> None:
    requests: list[str] = []
    faults: list[str] = []
    with playwright.sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = browser.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(f"{service.url}/docs")
        operation = page.locator(".opblock-post", has=page.locator('[data-path="/v1/predictions"]')).first
        operation.locator(".opblock-summary-control").click()
        operation.get_by_role("button", name="Try it out").click()
        operation.get_by_role("button", name="Execute").click()
        answer = operation.locator(".live-responses-table tbody .response-col_status").first
        answer.wait_for()
        assert answer.inner_text().strip().startswith("200")
        browser.close()
    assert not faults
    assert [url for url in requests if not url.startswith((service.url, "data:"))] == []
