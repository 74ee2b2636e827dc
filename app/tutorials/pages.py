"""The tutorials: Markdown files beside this module, and the files that they work on."""

from dataclasses import dataclass
from html import escape
from pathlib import Path

from markdown_it import MarkdownIt

FOLDER = Path(__file__).parent
FILES = FOLDER / "files"
ORDER = ("first-prediction", "bulk-moduli", "solid-solution", "cluster")

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · Xtalforge</title>
<link rel="icon" href="/ui/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/tutorials/files/style.css">
</head>
<body>
<nav><a href="/">Xtalforge</a> <a href="/tutorials">Tutorials</a> <a href="/docs">API</a></nav>
<main>
{content}
</main>
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class Tutorial:
    name: str
    text: str

    @property
    def title(self) -> str:
        return self.text.partition("\n")[0].lstrip("# ")

    @property
    def summary(self) -> str:
        """The first paragraph."""
        return " ".join(self.text.split("\n\n")[1].split())


def tutorials() -> list[Tutorial]:
    """In the order in which they build upon each other."""
    return [Tutorial(name, (FOLDER / f"{name}.md").read_text(encoding="utf-8")) for name in ORDER]


def tutorial_page(tutorial: Tutorial) -> str:
    return _PAGE.format(title=escape(tutorial.title), content=_html(tutorial.text))


def index_page() -> str:
    entries = "\n".join(f"* [{each.title}](/tutorials/{each.name}): {each.summary}" for each in tutorials())
    return _PAGE.format(title="Tutorials", content=_html(f"# Tutorials\n\n{entries}\n"))


def _html(text: str) -> str:
    """The texts are our own; raw HTML in them, which is for the tests, is left out."""
    lines = [line for line in text.splitlines() if not line.startswith("<!--")]
    return str(MarkdownIt("commonmark", {"html": False}).enable("table").render("\n".join(lines)))
