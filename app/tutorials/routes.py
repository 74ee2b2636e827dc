"""The pages under /tutorials."""

from typing import Annotated

from fastapi import APIRouter, Header, Path
from fastapi.responses import FileResponse, HTMLResponse, PlainTextResponse, Response

from app.core.errors import TutorialNotFound
from app.tutorials.pages import FILES, index_page, tutorial_page, tutorials

MARKDOWN = "text/markdown"

router = APIRouter(prefix="/tutorials", tags=["tutorials"], include_in_schema=False)


@router.get("")
def list_tutorials() -> HTMLResponse:
    """All of them, as a page."""
    return HTMLResponse(index_page())


@router.get("/files/{name}")
def get_file(name: Annotated[str, Path(max_length=100)]) -> FileResponse:
    """A file that a tutorial works on."""
    found = {path.name: path for path in FILES.iterdir()}.get(name)
    if found is None:
        raise TutorialNotFound(f"There is no file '{name}' here.")
    return FileResponse(found)


@router.get("/{name}")
def get_tutorial(name: Annotated[str, Path(max_length=100)], accept: Annotated[str, Header()] = "") -> Response:
    """One of them as a page, or as Markdown with `Accept: text/markdown`."""
    found = {tutorial.name: tutorial for tutorial in tutorials()}.get(name)
    if found is None:
        raise TutorialNotFound(f"There is no tutorial '{name}': /tutorials lists them.")
    if MARKDOWN in accept:
        return PlainTextResponse(found.text, media_type=MARKDOWN)
    return HTMLResponse(tutorial_page(found))
