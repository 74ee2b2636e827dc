"""What is wrong with a field of a request, said to a chemist: the cause and, where it is short, the value."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

_MAX_SHOWN_LENGTH = 60

_NOUNS = {
    "string_type": "text in quotes",
    "list_type": "a list",
    "dict_type": "a JSON object",
    "model_attributes_type": "a JSON object",
    "model_type": "a JSON object",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a whole number of fewer digits",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_unicode": "text of valid Unicode characters",
}

_Sentence = Callable[[str, Mapping[str, Any]], str]


def _bounded(value: str, wrong: str, wanted: str) -> str:
    wrong = "no number" if value.lower() == "nan" else f"too {wrong}"
    return f"{value} is {wrong}: it must be {wanted}."


_SENTENCES: dict[str, _Sentence] = {
    "missing": lambda _value, _: "This field is missing.",
    "extra_forbidden": lambda _value, _: "There is no field of this name here; /docs lists the fields.",
    "too_short": lambda _value, c: f"At least {c['min_length']} must be given, not {c['actual_length']}.",
    "too_long": lambda _value, c: f"At most {c['max_length']} may be given, not {c['actual_length']}.",
    "string_too_short": lambda _value, c: f"The text is too short: at least {_characters(c['min_length'])}.",
    "string_too_long": lambda _value, c: f"The text is too long: at most {_characters(c['max_length'])}.",
    "greater_than": lambda value, c: _bounded(value, "small", f"above {c['gt']}"),
    "greater_than_equal": lambda value, c: _bounded(value, "small", f"at least {c['ge']}"),
    "less_than": lambda value, c: _bounded(value, "large", f"below {c['lt']}"),
    "less_than_equal": lambda value, c: _bounded(value, "large", f"at most {c['le']}"),
    "enum": lambda value, c: f"{value} is not on offer; choose {c['expected']}.",
    "literal_error": lambda value, c: f"{value} is not on offer; choose {c['expected']}.",
    "string_pattern_mismatch": lambda value, c: f"{value} has not the form that is needed here ({c['pattern']}).",
}


def field_error(entry: Mapping[str, Any]) -> dict[str, str]:
    """`field` and `detail` of one error of a request's validation."""
    kind, location = str(entry["type"]), tuple(entry["loc"])
    if kind == "json_invalid":
        position = f" at character {location[1]}" if len(location) > 1 else ""
        return {"field": "body", "detail": f"The body is not valid JSON: {entry['ctx']['error']}{position}."}
    field = _field_path(location)
    return {"field": field, "detail": _detail(kind, entry, location, field)}


def _detail(kind: str, entry: Mapping[str, Any], location: tuple[str | int, ...], field: str) -> str:
    message = str(entry["msg"]).removeprefix("Value error, ")
    if location == ("body",):
        if kind == "missing":
            return "The request has no body."
        if kind == "model_attributes_type":
            return "The body must be a JSON object, sent with Content-Type: application/json."
    if message.startswith("Expected UploadFile"):
        name = field.split("[")[0]
        return f"This must be a file: a multipart part with a file name (curl: -F '{name}=@NAME')."
    value = _shown(entry.get("input"))
    if kind in _NOUNS:
        return f"This must be {_NOUNS[kind]}, not {value}."
    if kind in _SENTENCES:
        return _SENTENCES[kind](value, entry.get("ctx", {}))
    return message


def _shown(value: Any) -> str:
    """The value as JSON writes it, where it is short: it may be a whole file."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | float):
        return repr(value) if len(str(value)) <= _MAX_SHOWN_LENGTH else "a longer text"
    if isinstance(value, int):
        # Python refuses to write out endless numbers.
        return str(value) if value.bit_length() <= 3 * _MAX_SHOWN_LENGTH else "a longer number"
    return "a list" if isinstance(value, list) else "an object" if isinstance(value, dict) else "this value"


def _characters(count: int) -> str:
    return "1 character" if count == 1 else f"{count} characters"


def _field_path(location: Sequence[str | int]) -> str:
    """`("body", "inputs", 0, "cif")` -> `inputs[0].cif`; a location without a field keeps its first word."""
    path = ""
    for part in location[1:]:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path.lstrip(".") or str(location[0])
