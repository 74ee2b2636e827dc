"""A second reading of CIFs that break the syntax, as files of databases and old programs do.

It accepts quoted strings that run over lines, any characters in bare words, repeated tags (the first counts), and
drops an incomplete last row of a loop. Only the categories a structure needs are kept.
"""

import re
from collections.abc import Iterator

from gemmi import cif

WANTED = ("_cell", "_symmetry", "_space_group", "_atom_site", "_chemical_formula_sum")
MAX_QUOTED_LENGTH = 2000

_NOT_WANTED = ("_atom_site_aniso", "_atom_site_moment", "_atom_site_fourier", "_atom_sites")
_BARE = re.compile(r"\S+")
_TEXT_FIELD_END = re.compile(r"^;", flags=re.MULTILINE)
_CLOSERS = {quote: re.compile(quote + r"(?=\s|\Z)") for quote in "'\""}
_TAG, _VALUE, _LOOP, _BLOCK = range(4)


def read_leniently(text: str) -> cif.Document:
    """The data blocks of a text with the categories a structure needs; no block at all if it is no CIF."""
    document = cif.Document()
    block: cif.Block | None = None
    loop_tags: list[str] | None = None
    values: list[str] = []
    tag: str | None = None
    names: set[str] = set()
    for kind, token in _tokens(text):
        if loop_tags is not None and (kind in (_LOOP, _BLOCK) or (kind == _TAG and values)):
            _add_loop(block, loop_tags, values)
            loop_tags, values = None, []
        if kind == _BLOCK:
            name = token
            while name in names:
                name += "_"
            names.add(name)
            block, tag = document.add_new_block(name), None
        elif kind == _LOOP:
            loop_tags, tag = [], None
        elif kind == _TAG and loop_tags is not None:
            loop_tags.append(token)
        elif kind == _TAG:
            tag = token
        elif loop_tags is not None:
            values.append(token)
        elif tag is not None:
            _add_pair(block, tag, token)
            tag = None
    if loop_tags is not None:
        _add_loop(block, loop_tags, values)
    return document


def _add_pair(block: cif.Block | None, tag: str, value: str) -> None:
    if block is not None and _is_wanted(tag) and block.find_value(tag) is None:
        block.set_pair(tag, value)


def _add_loop(block: cif.Block | None, tags: list[str], values: list[str]) -> None:
    """Add a loop of a wanted category under its first tags; a repeated category is left out."""
    if block is None or not tags or not _is_wanted(tags[0]):
        return
    if len({tag.lower() for tag in tags}) < len(tags) or any(len(block.find_values(tag)) for tag in tags):
        return
    n_complete = len(values) // len(tags) * len(tags)
    if n_complete:
        block.init_loop("", tags).set_all_values([values[i : n_complete : len(tags)] for i in range(len(tags))])


def _is_wanted(tag: str) -> bool:
    lowered = tag.lower()
    return lowered.startswith(WANTED) and not lowered.startswith(_NOT_WANTED)


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
