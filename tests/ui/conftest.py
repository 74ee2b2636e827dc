import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Running, running_up
from tests.forked import Forks
from tests.tiny_models import tiny_models

__all__ = ["tiny_models"]

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# The cell is drawn by WebGL, here in software; all else is put together without it, for less.
OPTIONS = (
    "--no-sandbox", "--disable-background-networking", "--disable-component-update", "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader", "--disable-gpu-compositing",
)  # fmt: skip
WAIT_MS = 30_000
PHONE_WIDTH = 360
AXE = {"resultTypes": ["violations"]}


@dataclass
class Visit:
    """A person at the page: the tab, and all that went wrong in it without being shown."""

    url: str
    page: Any
    faults: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    expected_statuses: set[int] = field(default_factory=set)
    """Of answers that the test provokes: the browser tells each on its console."""

    def go(self, path: str) -> None:
        self.page.goto(f"{self.url}/#{path}")

    def see(self, heading: str) -> None:
        """Wait for the page with this heading."""
        self.page.get_by_role("heading", level=1, name=heading, exact=True).wait_for()

    def look(self) -> None:
        """Nobody is shut out of what is shown now: by the screen reader, in the dark, on a phone."""
        found = [*self._violations(), *self._in_the_dark()]
        assert not found, "\n".join(found)
        self.page.set_viewport_size({"width": PHONE_WIDTH, "height": 740})
        self.page.wait_for_timeout(200)
        assert self.page.evaluate("document.documentElement.scrollWidth") <= PHONE_WIDTH, "wider than a phone"

    def _violations(self, options: dict[str, Any] | None = None) -> list[str]:
        violations = axe.Axe().run(self.page, options=options or AXE).response["violations"]
        return [
            f"{each['id']} ({each['impact']}): {node['target']} {node['html'][:200]}"
            for each in violations
            for node in each["nodes"]
        ]

    def _in_the_dark(self) -> list[str]:
        self.page.emulate_media(color_scheme="dark")
        found = self._violations({**AXE, "runOnly": ["color-contrast"]})
        self.page.emulate_media(color_scheme="light")
        return found

    def check(self) -> None:
        assert self.outside == [], "the page asked another host"
        assert self.faults == []

    def watch(self) -> None:
        self.page.on("request", self._on_request)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", self._on_console)

    def _on_request(self, request: Any) -> None:
        if not request.url.startswith((self.url, "data:", "blob:")):
            self.outside.append(request.url)

    def _on_console(self, message: Any) -> None:
        is_expected = any(f"status of {status} " in message.text for status in self.expected_statuses)
        # The browser's own word for a change of the machine's network, on which the page asks again.
        if message.type == "error" and not is_expected and "ERR_NETWORK_CHANGED" not in message.text:
            self.faults.append(message.text)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, tiny_models: Path, forks: Forks) -> Iterator[Running]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XTALFORGE_WEBHOOKS__ALLOW_PRIVATE", "true")
        patch.setenv("XTALFORGE_WEBHOOKS__POLL_S", "0.2")
        with running_up(tmp_path_factory.mktemp("up"), tiny_models, forks=forks) as running:
            yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Any, service: Running) -> Iterator[Visit]:
    """A new visitor; at the end nothing may be on the console, and no other host may have been asked."""
    context = browser.new_context(color_scheme="light", viewport={"width": 1280, "height": 900}, accept_downloads=True)
    context.set_default_timeout(WAIT_MS)
    visit = Visit(service.url, context.new_page())
    visit.watch()
    yield visit
    visit.look()
    context.close()
    visit.check()
