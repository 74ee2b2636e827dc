"""Chemical formulas -> Composition, by a strict grammar of our own.

    formula = part { ("·" | "*" | ".") part }          hydrates and the like, e.g. CuSO4·5H2O
    part    = [ amount ] group { group }               the leading amount only where there are several parts
    group   = ( element | bracket ) [ amount ]
    bracket = "(" group { group } ")"                  also [] and {}, nested at most MAX_NESTING deep
    amount  = digits [ "." digits ]                    at most MAX_DIGITS digits, 0 < amount <= MAX_AMOUNT

Every symbol must be an element: no placeholders, no charges, no ranges.
"""

import re
from collections.abc import Iterable

from app.core.errors import InvalidComposition, UnsupportedElement
from app.structures.elements import ATOMIC_NUMBERS, HYDROGEN_ISOTOPES, MAX_ATOMIC_NUMBER, isotope_note
from app.structures.formula import Composition

MAX_LENGTH = 200
MAX_NESTING = 5
MAX_DIGITS = 8
MAX_AMOUNT = 1e5

NAN_IS_MISSING = "'NaN' is what programs write for a missing value; sodium nitride NaN is Na1N1."

_CLOSING = {"(": ")", "[": "]", "{": "}"}
_PLAIN = str.maketrans("₀₁₂₃₄₅₆₇₈₉⋅∙•‧・×", "0123456789······")
_AMOUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?)")
_DECIMAL_COMMA = re.compile(r",[0-9]")
_SYMBOL = re.compile(r"[A-Z][a-z]?")
_TOKEN = re.compile(r"[A-Za-z]+|[^A-Za-z]+")


def parse_composition(text: str) -> Composition:
    """Read a formula such as `Fe2O3`, `Ca(OH)2`, `Li0.5CoO2` or `CuSO4·5H2O`.

    Raises InvalidComposition naming the position and the reason, UnsupportedElement for elements beyond Fm.
    """
    stripped = text.strip()
    if not stripped:
        raise InvalidComposition("The composition is empty: write a formula such as Fe2O3.")
    if stripped == "NaN":
        raise InvalidComposition(NAN_IS_MISSING)
    if len(stripped) > MAX_LENGTH:
        raise InvalidComposition(
            f"The composition has {len(stripped)} characters; at most {MAX_LENGTH} are read.", length=len(stripped)
        )
    return _FormulaParser(stripped.translate(_PLAIN), stripped).parse()


class _FormulaParser:
    """Recursive descent over one formula; `position` is where it stands, counted from 0."""

    def __init__(self, text: str, original: str) -> None:
        self.text = text
        self.original = original
        self.position = 0
        self.isotopes: set[str] = set()

    def parse(self) -> Composition:
        amounts: dict[str, float] = {}
        first_amount: tuple[int, float] | None = None
        n_parts = 0
        while True:
            start = self._skip_spaces()
            multiplier = self._amount()
            if multiplier is not None and n_parts == 0:
                first_amount = (start, multiplier)
            self._add(amounts, self._groups(closing="", depth=0), multiplier or 1.0)
            n_parts += 1
            if self._skip_spaces() >= len(self.text):
                break
            self.position += 1
        if first_amount is not None and n_parts == 1:
            raise self._error(first_amount[0], "a formula starts with an element, not with a number")
        for symbol, amount in amounts.items():
            if not 0 < amount <= MAX_AMOUNT:
                raise InvalidComposition(
                    f"The composition {self._quoted()} has {amount:g} {symbol} in all; "
                    f"an amount must be above 0 and at most {MAX_AMOUNT:g}."
                )
        return Composition(amounts=amounts, notes=tuple(isotope_note(i) for i in sorted(self.isotopes)))

    def _groups(self, closing: str, depth: int) -> dict[str, float]:
        """All groups up to `closing`, or up to a separator or the end when `closing` is empty."""
        amounts: dict[str, float] = {}
        start = self._skip_spaces()
        while (here := self._skip_spaces()) < len(self.text):
            character = self.text[here]
            if (closing and character == closing) or (not closing and self._at_separator()):
                break
            if character in _CLOSING:
                inner = self._bracket(depth + 1)
            elif "A" <= character <= "Z":
                inner = {self._element(): 1.0}
            else:
                raise self._unexpected(here)
            amount_at = self._skip_spaces()
            amount = self._amount()
            if amount is not None:
                self._refuse_ambiguous_dot(amount_at, inner)
            self._add(amounts, inner, amount if amount is not None else 1.0)
        if not amounts:
            raise self._error(start, "an element is missing here")
        return amounts

    def _bracket(self, depth: int) -> dict[str, float]:
        start = self.position
        if depth > MAX_NESTING:
            raise self._error(start, f"brackets are nested more than {MAX_NESTING} deep")
        closing = _CLOSING[self.text[start]]
        self.position += 1
        amounts = self._groups(closing, depth)
        if self.position >= len(self.text):
            raise self._error(start, f"the bracket {self.text[start]!r} is never closed")
        self.position += 1
        return amounts

    def _element(self) -> str:
        start = self.position
        found = _SYMBOL.match(self.text, start)
        symbol = found.group() if found else self.text[start]
        if symbol in HYDROGEN_ISOTOPES:
            self.isotopes.add(symbol)
            symbol = "H"
        number = ATOMIC_NUMBERS.get(symbol)
        if number is None:
            raise self._error(start, f"{symbol!r} is not an element", hint=True)
        if number > MAX_ATOMIC_NUMBER:
            raise UnsupportedElement(
                f"{symbol} (element {number}) in {self._quoted()} is not supported; elements up to Fm (100) are.",
                element=symbol,
            )
        self.position = found.end() if found else start + 1
        return symbol

    def _amount(self) -> float | None:
        """The number that stands here, if one does."""
        found = _AMOUNT.match(self.text, self.position)
        if found is None:
            return None
        written = found.group()
        if len(written.replace(".", "")) > MAX_DIGITS:
            raise self._error(self.position, f"an amount may have at most {MAX_DIGITS} digits")
        if _DECIMAL_COMMA.match(self.text, found.end()):
            raise self._error(found.end(), "write decimals with a point, not with a comma")
        value = float(written)
        if not 0 < value <= MAX_AMOUNT:
            raise self._error(self.position, f"the amount {written} must be above 0 and at most {MAX_AMOUNT:g}")
        self.position = found.end()
        return value

    def _refuse_ambiguous_dot(self, start: int, before: Iterable[str]) -> None:
        """`CuSO4.5H2O` could be O4.5 or a hydrate: a guess would be wrong half of the time."""
        written = self.text[start : self.position]
        if "." not in written or float(written.split(".")[0]) == 0:
            return
        rest = self.text[self.position :].strip()
        repeated = any(symbol in before for symbol in _SYMBOL.findall(rest))
        if repeated or re.fullmatch(r"[HDT]2O", rest):
            dot = start + written.index(".")
            raise self._error(dot, "this dot may be a decimal point or join two formulas; write · or * to join them")

    def _at_separator(self) -> bool:
        character = self.text[self.position]
        if character in "·*":
            return True
        if character != ".":
            return False
        following = self.text[self.position + 1 : self.position + 2]
        if following.isdigit():
            raise self._error(self.position, "write amounts as 0.5, not .5, and join formulas with · or *")
        return True

    def _skip_spaces(self) -> int:
        while self.position < len(self.text) and self.text[self.position] in " \t":
            self.position += 1
        return self.position

    @staticmethod
    def _add(amounts: dict[str, float], inner: dict[str, float], multiplier: float) -> None:
        for symbol, amount in inner.items():
            amounts[symbol] = amounts.get(symbol, 0.0) + amount * multiplier

    def _unexpected(self, position: int) -> InvalidComposition:
        character = self.original[position]
        if character in "+-−^":
            return self._error(position, "charges, ranges and signs are not part of a composition")
        if character in ")]}":
            return self._error(position, f"the bracket {character!r} does not match an open one")
        if "a" <= character <= "z":
            return self._error(position, f"an element cannot start with the small letter {character!r}", hint=True)
        if "0" <= self.text[position] <= "9" or character in ".*·":
            return self._error(position, f"{character!r} does not follow an element or a bracket")
        return self._error(position, f"{character!r} is not part of a formula")

    def _error(self, position: int, reason: str, hint: bool = False) -> InvalidComposition:
        suggestion = _respelled(self.text) if hint else None
        advice = f" Did you mean {suggestion}?" if suggestion else ""
        return InvalidComposition(
            f"The composition {self._quoted()} cannot be read: at position {position + 1}, {reason}.{advice}",
            position=position + 1,
        )

    def _quoted(self) -> str:
        return repr(self.original)


def _respelled(text: str) -> str | None:
    """The formula with its letters in proper case, if they can be read as elements; long symbols first."""
    tokens = _TOKEN.findall(text)
    spelled = [_split_into_elements(t) if t[0].isalpha() and t.isascii() else t for t in tokens]
    return None if any(s is None for s in spelled) else "".join(s for s in spelled if s is not None)


def _split_into_elements(letters: str) -> str | None:
    """`fe` -> `Fe`, `nacl` -> `NaCl`; None when the letters are no sequence of elements."""
    reading: list[str | None] = [""] + [None] * len(letters)
    for end in range(1, len(letters) + 1):
        for length in (1, 2):
            before = reading[end - length] if end >= length else None
            symbol = letters[end - length : end].capitalize()
            if before is not None and symbol in ATOMIC_NUMBERS:
                reading[end] = before + symbol
    return reading[-1]
