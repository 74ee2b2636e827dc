"""Lists in pages: `{"items": [...], "next": cursor or null}`; a cursor is opaque to clients."""

from typing import Annotated, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, Field

Item = TypeVar("Item")

PageLimit = Annotated[int, Query(ge=1, le=500, description="Most items in the answer.")]
PageCursor = Annotated[
    str | None, Query(max_length=500, description="`next` of the page before; empty = the first page.")
]


class Page(BaseModel, Generic[Item]):
    """One page of a list."""

    items: list[Item] = Field(description="What was asked for, in the order that the call states.")
    next: str | None = Field(
        description="Send it as `cursor` to get the next page; null = this was the last one.", examples=[None]
    )
