"""`xtalforge properties`, `methods` and `status`: what is on offer, and whether a server is well."""

import typer

from app.cli.api import api
from app.cli.installation import DataDirOption
from app.cli.output import EXIT_UNREACHABLE, JsonOption, ServerOption, print_json, print_record, print_records
from app.cli.server import Server, ServerError

_PROPERTIES = {"key": "key", "unit": "unit", "definition": "definition"}
_METHODS = {
    "name": "method", "family": "makes", "data_kinds": "on", "needs_base_model": "starts from a model",
    "description": "what it does",
}  # fmt: skip


def properties(as_json: JsonOption = False, server: ServerOption = None, data_dir: DataDirOption = None) -> None:
    """List the properties with units and definitions."""
    with api(server, data_dir, "app.predictions.properties_routes") as service:
        print_records(service.items("/v1/properties"), _PROPERTIES, as_json=as_json)


def methods(as_json: JsonOption = False, server: ServerOption = None, data_dir: DataDirOption = None) -> None:
    """List the ways to train."""
    with api(server, data_dir, "app.fine_tuning.routes") as service:
        print_records(service.items("/v1/fine-tuning/methods"), _METHODS, as_json=as_json)


def status(server: ServerOption = "http://127.0.0.1:8000", as_json: JsonOption = False) -> None:
    """Ask a server whether it is ready, and what your key allows. Exit status 5: it does not answer or is not ready."""
    with Server(server or "", attempts=1) as service:
        try:
            service.get("/health/ready")
            problem = None
        except ServerError as error:
            problem = error.detail
        told = {"server": server, "ready": problem is None, "problem": problem}
        if problem is None:
            told |= {f"access_{name}": value for name, value in service.get("/v1/access").items()}
    if as_json:
        print_json(told)
    else:
        print_record(told, as_json=False)
    if problem is not None:
        raise typer.Exit(EXIT_UNREACHABLE)
