"""Write what is derived in the client: models of the OpenAPI document, and the sync client from the async one.

Run it after `xtalforge openapi --output app/web/openapi.json`, or both by `make openapi`. With `--check` it writes
nothing and exits with 1 when a file is not what it would be now.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from datamodel_code_generator import DataModelType, Formatter, InputFileType, LiteralType, PythonVersion, generate

HERE = Path(__file__).resolve().parent
PACKAGE = HERE / "xtalforge_client"
DOCUMENT = HERE.parent / "web" / "openapi.json"

CHECKED_BY_THE_SERVER = (
    "title", "examples", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength",
    "minItems", "maxItems", "pattern",
)  # fmt: skip
"""Left out of the models: limits may be moved by a server's settings, and each would need a class of its own."""

WORDS = {
    "asynccontextmanager": "contextmanager",
    "_async": "_sync",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "aclose": "close",
    "aread": "read",
    "aiter_lines": "iter_lines",
    "aiter_bytes": "iter_bytes",
    "sleep_async": "sleep",
    "lookahead_async": "lookahead",
}
NOTE = "# Written by app/client/generate.py: edit {source} instead.\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    is_check = parser.parse_args().check
    stale = {path: text for path, text in derived_files().items() if not path.exists() or path.read_text() != text}
    for path, text in stale.items():
        print(path.relative_to(HERE.parents[1]), "is not what app/client/generate.py writes" if is_check else "written")
        if not is_check:
            path.write_text(text)
    return int(is_check and bool(stale))


def derived_files() -> dict[Path, str]:
    """Every derived file with the text that it should have."""
    files = {PACKAGE / "models.py": models_of(json.loads(DOCUMENT.read_text()))}
    for source in sorted((PACKAGE / "_async").glob("*.py")):
        files[PACKAGE / "_sync" / source.name] = without_async(source.read_text(), f"_async/{source.name}")
    return {path: _in_style(code, path) for path, code in files.items()}


def without_async(code: str, source: str) -> str:
    """The same module for blocking calls."""
    if not code.strip():
        return code
    code = re.sub(r"\basync (def|with|for)\b", r"\1", code)
    code = re.sub(r"\bawait |\bAsync(?=[A-Z])", "", code)
    code = re.sub(r"\b(" + "|".join(WORDS) + r")\b", lambda found: WORDS[found.group()], code)
    return NOTE.format(source=source) + code


def models_of(document: dict[str, Any]) -> str:
    """Pydantic models of everything that requests and answers in JSON hold."""
    schemas = document["components"]["schemas"]
    kept = {name: _without_limits(schemas[name]) for name in sorted(_reachable(document, schemas))}
    slim = {"openapi": document["openapi"], "info": {"title": "", "version": ""}, "paths": {}}
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "models.py"
        generate(
            json.dumps(slim | {"components": {"schemas": kept}}),
            input_file_type=InputFileType.OpenAPI,
            output=output,
            output_model_type=DataModelType.PydanticV2BaseModel,
            target_python_version=PythonVersion.PY_311,
            enum_field_as_literal=LiteralType.All,
            use_standard_collections=True,
            use_union_operator=True,
            use_schema_description=True,
            use_field_description=True,
            use_double_quotes=True,
            strict_nullable=True,
            collapse_root_models=True,
            disable_timestamp=True,
            custom_file_header='"""Models of the OpenAPI document, written by app/client/generate.py."""',
            formatters=[Formatter.BUILTIN],
        )
        return output.read_text()


def _in_style(code: str, path: Path) -> str:
    for command in (("check", "--select", "I", "--fix", "--quiet"), ("format",)):
        ruff = [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(path), "-"]
        code = subprocess.run(ruff, input=code, capture_output=True, text=True, check=True).stdout
    return code


def _reachable(document: dict[str, Any], schemas: dict[str, Any]) -> set[str]:
    """Names of the schemas of JSON bodies, and of those within them."""
    todo = {"Problem"}
    for operation in (each for path in document["paths"].values() for each in path.values()):
        bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
        for body in bodies:
            todo |= _references(body.get("content", {}).get("application/json", {}))
    found: set[str] = set()
    while todo:
        name = todo.pop()
        found.add(name)
        todo |= _references(schemas[name]) - found
    return found


def _references(node: Any) -> set[str]:
    if isinstance(node, dict):
        here = {node["$ref"].rsplit("/", 1)[1]} if isinstance(node.get("$ref"), str) else set()
        return here.union(*map(_references, node.values()))
    return set().union(*map(_references, node)) if isinstance(node, list) else set()


def _without_limits(node: Any, *, is_properties: bool = False) -> Any:
    if isinstance(node, list):
        return [_without_limits(item) for item in node]
    if not isinstance(node, dict):
        return node
    if not is_properties and "patternProperties" in node:
        (values,) = node["patternProperties"].values()
        node = {key: value for key, value in node.items() if key != "patternProperties"} | {
            "additionalProperties": values
        }
    return {
        key: _without_limits(value, is_properties=key == "properties" and not is_properties)
        for key, value in node.items()
        if is_properties or key not in (*CHECKED_BY_THE_SERVER, "patternProperties")
    }


if __name__ == "__main__":
    sys.exit(main())
