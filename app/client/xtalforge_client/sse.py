"""Server-sent events, from the lines of a stream."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ServerSentEvent:
    """One event; `id` is empty when the stream gives none."""

    id: str
    kind: str
    data: str


class EventParser:
    """Feed it line by line; comments (which keep a connection alive) and unknown fields are passed over."""

    def __init__(self) -> None:
        self._fields: dict[str, list[str]] = {}

    def feed(self, line: str) -> ServerSentEvent | None:
        """The event that this line, an empty one, completes."""
        if line:
            name, _, value = line.partition(":")
            if name:
                self._fields.setdefault(name, []).append(value.removeprefix(" "))
            return None
        fields, self._fields = self._fields, {}
        if "data" not in fields:
            return None
        return ServerSentEvent(
            fields.get("id", [""])[-1], fields.get("event", ["message"])[-1], "\n".join(fields["data"])
        )
