"""What a process does not import, it does not wait for."""

import subprocess
import sys

import pytest

from app.core.settings import PROJECT_ROOT


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        (
            "import app.main; app.main.create_app(app.main.Settings()).openapi()",
            ("torch", "workers", "pymatgen.core", "pyarrow"),
        ),
        ("import app.compute, app.learning.engine", ("sqlalchemy", "scipy", "pyarrow", "fastapi")),
        ("import workers.tasks", ("fastapi", "torch")),
        ("import app.cli.main", ("torch", "fastapi", "celery", "sqlalchemy", "scipy")),
    ],
)
def test_heavy_libraries_stay_out(statement: str, absent: tuple[str, ...]) -> None:
    program = f"import sys\n{statement}\nprint([name for name in {absent!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == "[]"
