"""Files spoilt: bytes flipped, tokens swapped, numbers blown up, ends cut off, files grafted on each other."""

import re
from collections.abc import Callable, Sequence
from random import Random

MAX_BYTES = 400_000

_TOKEN = re.compile(rb"\S+")
_NUMBER = re.compile(rb"[-+]?[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?")
_NUMBERS = (
    b"0", b"-1", b"1e999", b"-1e999", b"nan", b"inf", b"1e-320", b"9" * 30, b"9" * 5000, b"1_0", b"0x10", b"1.5(3)",
    b".", b"?", b"2147483648", b"18446744073709551616", b"0.99999999999", b"1/0", b"1e5", b"\xd9\xa3",
)  # fmt: skip
_FRAGMENTS = (
    b"loop_", b"\nloop_\n", b"data_", b"\ndata_x\n", b"\n;\n", b"'", b'"', b"''", b"#", b"{", b"}", b"[", b"]", b",",
    b";", b"\t", b"\r", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\xe2\x82\x82", b"\\ud800", b"null", b"true", b"save_",
    b"(" * 60, b"[" * 2000, b"PK\x03\x04", b"PK\x05\x06", b"PAR1", b"x,y,z", b"-x,1/2+y,z/0", b"_atom_site_fract_x",
    b"Fm-3m", b"Uuo", b"D", b"NaN", b"1e5", b"\xc2\xb7", b"../", b"C:\\", b"\x1b[2J",
)  # fmt: skip

Mutation = Callable[[bytearray, Random, Sequence[bytes]], bytearray]


def mutated(seed: bytes, rng: Random, corpus: Sequence[bytes]) -> bytes:
    """A spoilt copy of `seed`, of MAX_BYTES at most; one in fifty is the copy as it was."""
    data = bytearray(seed)
    if rng.random() < 0.02:
        return bytes(data)
    for _ in range(1 + int(rng.expovariate(0.5))):
        data = rng.choice(_MUTATIONS)(data, rng, corpus)
    return bytes(data[:MAX_BYTES])


def _flip(data: bytearray, rng: Random, _: Sequence[bytes]) -> bytearray:
    for _ in range(rng.randint(1, 8)):
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return data


def _overwrite(data: bytearray, rng: Random, _: Sequence[bytes]) -> bytearray:
    start, end = _span(data, rng, 8)
    data[start:end] = rng.choice((b"\xff", b"\0", b"\x7f", b"\x80")) * (end - start)
    return data


def _insert(data: bytearray, rng: Random, _: Sequence[bytes]) -> bytearray:
    at = rng.randint(0, len(data))
    data[at:at] = rng.choice(_FRAGMENTS)
    return data


def _cut_out(data: bytearray, rng: Random, _: Sequence[bytes]) -> bytearray:
    start, end = _span(data, rng, len(data))
    del data[start:end]
    return data


def _cut_off(data: bytearray, rng: Random, _: Sequence[bytes]) -> bytearray:
    return data[: rng.randint(0, len(data))]


def _repeat(data: bytearray, rng: Random, _: Sequence[bytes]) -> bytearray:
    start, end = _span(data, rng, 200)
    data[end:end] = data[start:end] * rng.choice((1, 2, 10, 300))
    return data[:MAX_BYTES]


def _swap_tokens(data: bytearray, rng: Random, _: Sequence[bytes]) -> bytearray:
    tokens = list(_TOKEN.finditer(data))
    if len(tokens) < 2:
        return data
    first, second = sorted(rng.sample(tokens, 2), key=lambda match: match.start())
    return bytearray(
        data[: first.start()] + second[0] + data[first.end() : second.start()] + first[0] + data[second.end() :]
    )


def _blow_up_number(data: bytearray, rng: Random, _: Sequence[bytes]) -> bytearray:
    numbers = list(_NUMBER.finditer(data))
    for match in sorted(rng.sample(numbers, min(len(numbers), rng.choice((1, 1, 3)))), key=lambda m: -m.start()):
        data[match.start() : match.end()] = rng.choice(_NUMBERS)
    return data


def _graft(data: bytearray, rng: Random, corpus: Sequence[bytes]) -> bytearray:
    other = rng.choice(corpus)
    start, end = _span(bytearray(other), rng, len(other))
    at = rng.randint(0, len(data))
    until = at if rng.random() < 0.5 else min(len(data), at + end - start)
    data[at:until] = other[start:end]
    return data


def _swap_lines(data: bytearray, rng: Random, _: Sequence[bytes]) -> bytearray:
    lines = data.split(b"\n")
    first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[first], lines[second] = lines[second], lines[first]
    return bytearray(b"\n").join(lines)


def _span(data: bytearray, rng: Random, most: int) -> tuple[int, int]:
    start = rng.randint(0, len(data))
    return start, min(len(data), start + rng.randint(1, max(1, most)))


_MUTATIONS: tuple[Mutation, ...] = (
    _flip, _overwrite, _insert, _insert, _cut_out, _cut_off, _repeat, _swap_tokens, _blow_up_number, _blow_up_number,
    _graft, _swap_lines,
)  # fmt: skip
