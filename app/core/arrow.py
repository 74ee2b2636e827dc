"""pyarrow, loaded when something of it is first used: it takes 45 MB and a sixth of a second, and an API process that
only answers predictions never needs it. Modules that import it from here have to leave annotations unevaluated.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__all__ = ["pa", "pc", "pcsv", "pq"]


class _Lazy(ModuleType):
    """Stands for the module of its name."""

    def __getattr__(self, name: str) -> Any:
        value = getattr(import_module(self.__name__), name)
        setattr(self, name, value)
        return value


if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.csv as pcsv
    import pyarrow.parquet as pq
else:
    pa, pc, pcsv, pq = (_Lazy(f"pyarrow{part}") for part in ("", ".compute", ".csv", ".parquet"))
