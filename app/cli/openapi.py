"""`xtalforge openapi`: the description of the HTTP API, as the service answers it at /openapi.json."""

import json
from pathlib import Path
from typing import Annotated

import typer


def openapi(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write; else the screen.")] = None,
) -> None:
    """Print the OpenAPI document of this version. Needs no server and no database."""
    from app.core.settings import Settings
    from app.main import create_app

    text = json.dumps(create_app(Settings()).openapi(), indent=1, ensure_ascii=False)
    if output is None:
        typer.echo(text)
    else:
        output.write_text(text + "\n")
