"""A second reading of CIFs that break the syntax, as files of databases and old programs do.

It accepts quoted strings that run over lines, any characters in bare words, repeated tags (the first counts), and
drops an incomplete last row of a loop. Only the items a structure needs are kept.
"""

import re
from collections.abc import Iterator

from gemmi import cif

MAX_CHARACTERS = 1_000_000
MAX_QUOTED_LENGTH = 2000

_BARE = re.compile(r"\S+")
_TEXT_FIELD_END = re.compile(r"^;", flags=re.MULTILINE)
_CLOSERS = {quote: re.compile(quote + r"(?=\s|\Z)") for quote in "'\""}
_TAG, _VALUE, _LOOP, _BLOCK = range(4)


class _Collector:
    """Builds the document out of the tokens, wanted items only. The first item with a tag counts."""

    def __init__(self, wanted: frozenset[str]) -> None:
        self.document = cif.Document()
        self.wanted = wanted
        self.block: cif.Block | None = None
        self.names: set[str] = set()
        self.seen: set[str] = set()
        self.tag: str | None = None
        self.loop_tags: list[str] | None = None
        self.values: list[str] = []

    def take_block(self, name: str) -> None:
        self.end_loop()
        unique = f"{name}_{len(self.names) + 1}" if name in self.names else name
        self.names.add(unique)
        self.seen = set()
        self.tag = None
        self.block = self.document.add_new_block(unique)

    def take_loop(self, _: str) -> None:
        self.end_loop()
        self.loop_tags, self.tag = [], None

    def take_tag(self, tag: str) -> None:
        if self.values:
            self.end_loop()
        if self.loop_tags is not None:
            self.loop_tags.append(tag)
        else:
            self.tag = tag

    def take_value(self, value: str) -> None:
        if self.loop_tags is not None:
            self.values.append(value)
        elif self.tag is not None:
            key = self.tag.lower()
            if self.block is not None and key in self.wanted and key not in self.seen:
                self.seen.add(key)
                self.block.set_pair(self.tag, value)
            self.tag = None

    def end_loop(self) -> None:
        """Add the loop that was being read, if there is one and it is wanted."""
        tags, values = self.loop_tags, self.values
        self.loop_tags, self.values = None, []
        keys = {tag.lower() for tag in tags or ()}
        if not tags or self.block is None or not keys & self.wanted or keys & self.seen or len(keys) < len(tags):
            return
        self.seen |= keys
        n_complete = len(values) // len(tags) * len(tags)
        if n_complete:
            columns = [values[i : n_complete : len(tags)] for i in range(len(tags))]
            self.block.init_loop("", tags).set_all_values(columns)


def read_leniently(text: str, wanted: frozenset[str]) -> cif.Document:
    """The data blocks of a text, with the pairs and the loops that hold a `wanted` tag (lower case).

    No block at all comes out of a text that is no CIF or has more than MAX_CHARACTERS.
    """
    collector = _Collector(wanted)
    if len(text) <= MAX_CHARACTERS:
        take = (collector.take_tag, collector.take_value, collector.take_loop, collector.take_block)
        for kind, token in _tokens(text):
            take[kind](token)
        collector.end_loop()
    return collector.document


def _tokens(text: str) -> Iterator[tuple[int, str]]:
    """Kinds and raw texts of the tokens. One pass: the search for a closing quote never covers a place twice."""
    position, end = 0, len(text)
    closing = {"'": -1, '"': -1}
    while True:
        found = _BARE.search(text, position)
        if found is None:
            return
        start = found.start()
        first = text[start]
        if first == "#":
            newline = text.find("\n", start)
            position = newline + 1 if newline >= 0 else end
            continue
        if first == ";" and (start == 0 or text[start - 1] == "\n"):
            closed = _TEXT_FIELD_END.search(text, start + 1)
            position = closed.end() if closed else end
            yield _VALUE, cif.quote(text[start + 1 : closed.start() if closed else end].strip())
            continue
        if first in closing:
            if closing[first] <= start:
                closer = _CLOSERS[first].search(text, start + 1)
                closing[first] = closer.start() if closer else end
            if closing[first] < end and closing[first] - start <= MAX_QUOTED_LENGTH:
                position = closing[first] + 1
                yield _VALUE, cif.quote(text[start + 1 : closing[first]])
                continue
        position = found.end()
        yield _bare_token(found.group())


def _bare_token(word: str) -> tuple[int, str]:
    lowered = word[:6].lower()
    if word.startswith("_"):
        return _TAG, word
    if lowered.startswith("data_"):
        return _BLOCK, word[5:] or " "
    if lowered.startswith("loop_"):
        return _LOOP, word
    return _VALUE, word if word[0] not in "'\"$[]" else cif.quote(word)
