"""Which compositions a run looks at."""

from collections.abc import Collection
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.structures.elements import ATOMIC_NUMBERS, MAX_ATOMIC_NUMBER

FILTERED_OUT = "filtered_out"
"""Code of inputs that are left out."""


def _known_element(symbol: str) -> str:
    if not 0 < ATOMIC_NUMBERS.get(symbol, 0) <= MAX_ATOMIC_NUMBER:
        raise ValueError(f"{symbol!r} is not the symbol of an element up to Fm")
    return symbol


ElementSymbol = Annotated[str, AfterValidator(_known_element)]


class ElementFilter(BaseModel):
    """Which compositions are looked at. All conditions that are given must be met."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    all_of: tuple[ElementSymbol, ...] = Field(default=(), description="Each of these must be there.", examples=[["O"]])
    any_of: tuple[ElementSymbol, ...] = Field(default=(), description="At least one of these must be there.")
    none_of: tuple[ElementSymbol, ...] = Field(default=(), description="None of these may be.", examples=[["Pb"]])
    only: tuple[ElementSymbol, ...] = Field(default=(), description="Nothing but these may be there.")
    at_least: int | None = Field(default=None, ge=1, description="Fewest different elements.", examples=[2])
    at_most: int | None = Field(default=None, ge=1, description="Most different elements.", examples=[4])

    def reason_against(self, symbols: Collection[str]) -> str | None:
        """Why a composition of these elements is left out; None when it is not."""
        missing = [symbol for symbol in self.all_of if symbol not in symbols]
        if missing:
            return f"has no {', '.join(missing)}"
        if self.any_of and not any(symbol in symbols for symbol in self.any_of):
            return f"has none of {', '.join(self.any_of)}"
        unwanted = sorted(symbol for symbol in symbols if symbol in self.none_of)
        if not unwanted and self.only:
            unwanted = sorted(symbol for symbol in symbols if symbol not in self.only)
        if unwanted:
            return f"has {', '.join(unwanted)}"
        n = len(symbols)
        if self.at_least is not None and n < self.at_least:
            return f"has {n} different elements, fewer than {self.at_least}"
        if self.at_most is not None and n > self.at_most:
            return f"has {n} different elements, more than {self.at_most}"
        return None
