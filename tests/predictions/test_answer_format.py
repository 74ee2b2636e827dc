"""Answers of a process that may lie: what is in order comes through as it was, all else is refused, whatever it is."""

import json
import random
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from app.core.errors import DisorderedStructure, StructureTooLarge
from app.learning.featurising import FeaturisedStructure
from app.learning.graphs.crystal_graph import CrystalGraph
from app.learning.graphs.neighbours import TooFewNeighbours
from app.learning.graphs.settings import GraphSettings
from app.predictions import answer_format
from app.predictions.answer_format import MalformedAnswer, pack_answer, unpack_answer
from app.predictions.examples import NACL_CIF
from app.predictions.request_format import pack_request, unpack_request
from app.predictions.tasks import ObjectTask, Structures, Task, TextTask, failed, featurise
from app.structures.detect import StructureFormat

SETTINGS = (GraphSettings(), GraphSettings(n_neighbours=None, cutoff=5.0), GraphSettings(ties="strict", cutoff=2.0))
FLAWED = NACL_CIF.replace("data_NaCl", "data_half").replace("0.5 0.5 0.5", "0.5 0.5 é")
TEXT = f"{NACL_CIF}{FLAWED}{NACL_CIF.replace('data_NaCl', 'data_other').replace('5.64', '5.7')}"
TASK = TextTask(TEXT, StructureFormat.CIF, "", SETTINGS)


@pytest.fixture(scope="module")
def structures() -> Structures:
    return featurise(TASK)


def _parts(message: bytes) -> tuple[Any, bytes]:
    (length,) = struct.unpack_from("<Q", message)
    return json.loads(message[8 : 8 + length]), message[8 + length :]


def _message(header: Any, arrays: bytes) -> bytearray:
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return bytearray(struct.pack("<Q", len(text)) + text + arrays)


def _assert_same(one: FeaturisedStructure, other: FeaturisedStructure) -> None:
    assert one.name == other.name and (one.crystal is None) == (other.crystal is None)
    assert type(one.error) is type(other.error) and str(one.error) == str(other.error)
    if one.crystal is None or other.crystal is None:
        return
    for name in ("lattice", "fractional_coordinates", "atomic_numbers"):
        a, b = getattr(one.crystal, name), getattr(other.crystal, name)
        assert a.dtype == b.dtype and np.array_equal(a, b)
    assert one.crystal.notes == other.crystal.notes
    for graph, expected in zip(one.graphs, other.graphs, strict=True):
        assert type(graph) is type(expected)
        if isinstance(graph, CrystalGraph) and isinstance(expected, CrystalGraph):
            for name in ("atomic_numbers", "node_weights", "edge_index", "distances", "edge_weights"):
                a, b = getattr(graph, name), getattr(expected, name)
                assert a.dtype == b.dtype and np.array_equal(a, b) and a.flags.aligned
            assert graph.n_sites == expected.n_sites


def test_it_comes_through_as_it_was(structures: Structures) -> None:
    got = unpack_answer(bytearray(pack_answer(structures)), TASK)
    assert [entry.crystal is None for entry in got] == [False, True, False]
    assert isinstance(got[0].graphs[2], TooFewNeighbours)
    for one, other in zip(got, structures, strict=True):
        _assert_same(one, other)


def test_errors_keep_their_kind_and_context() -> None:
    error = DisorderedStructure("Sites \ud800 é", sites=["Fe1"], n=3)
    (got,) = unpack_answer(bytearray(pack_answer(failed(error))), TASK)
    assert type(got.error) is DisorderedStructure
    assert (got.error.detail, got.error.context) == (error.detail, error.context)


def test_too_much_for_one_answer_is_an_error(structures: Structures, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_format, "MAX_ANSWER_BYTES", 500)
    (got,) = unpack_answer(bytearray(pack_answer(structures)), TASK)
    assert isinstance(got.error, StructureTooLarge)


def test_only_a_light_task_may_be_given_back() -> None:
    light = TextTask(TEXT, StructureFormat.CIF, "", SETTINGS, only_light=True)
    assert unpack_answer(bytearray(pack_answer([])), light) == []
    with pytest.raises(MalformedAnswer):
        unpack_answer(bytearray(pack_answer([])), TASK)


def _set(path: tuple[int, ...], value: Any) -> Callable[[Any], None]:
    def change(header: Any) -> None:
        for step in path[:-1]:
            header = header[step]
        header[path[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        *(_set((0, 2), value) for value in (-1, 0, 7, 9, 2_001, 1 << 40, 1 << 70, 8.0, True, "8", None, [])),
        *(_set((0, 3, 0, 0), value) for value in (-1, 0, 1, 3, 1 << 62, 2.0)),
        *(_set((0, 3, 0, 1), value) for value in (-1, 0, 1, 5, 2_000_001, 1 << 62, 1e300)),
        *(_set((0, 3), value) for value in ([], [[2, 2]], None, 3, {"0": 1}, [[2, 2]] * 3)),
        *(_set((0, 3, 2), value) for value in (["no_such_code", "x", {}], ["no_atoms", 3, {}], ["no_atoms", "x", []])),
        *(_set((1, 1), value) for value in (["no_atoms", "x", {"detail": "y"}], [], None, "abc", [[], "x", {}])),
        *(_set((1, 0), value) for value in (1, None, [], {"a": 1})),
        *(_set((0, 1), value) for value in ("note", [1], None, [["x"]])),
        *(_set((1,), value) for value in (None, 1, [], ["x"], ["x"] * 5)),
        lambda header: header.pop(),
        lambda header: header.append(["x", ["no_atoms", "x", {}]] * 3),
        lambda header: header.extend([["x", ["no_atoms", "x", {}]]] * 1_000),
    ],
)
def test_a_header_that_lies_is_refused(structures: Structures, change: Callable[[Any], None]) -> None:
    header, arrays = _parts(pack_answer(structures))
    change(header)
    with pytest.raises(MalformedAnswer):
        unpack_answer(_message(header, arrays), TASK)


@pytest.mark.parametrize("header", [{}, "x", 3, None, [3], [[]], [{}], ["xy"], ["wxyz"], [[[]] * 4]])
def test_no_header_is_refused(header: Any) -> None:
    with pytest.raises(MalformedAnswer):
        unpack_answer(_message(header, b""), TASK)


@pytest.mark.parametrize("text", [b"[" * 100_000, b"1" * 100_000, b"\xff" * 8, b"", b"\x80\x04N.    "])
def test_a_header_that_is_no_json_is_refused(text: bytes) -> None:
    text += b" " * (-len(text) % 8)
    with pytest.raises(MalformedAnswer):
        unpack_answer(bytearray(struct.pack("<Q", len(text)) + text), TASK)


@pytest.mark.parametrize("length", [0, 1, 9, 1 << 20, 1 << 40, (1 << 64) - 8])
def test_a_header_of_a_false_length_is_refused(structures: Structures, length: int) -> None:
    message = bytearray(pack_answer(structures))
    message[:8] = struct.pack("<Q", length)
    with pytest.raises(MalformedAnswer):
        unpack_answer(message, TASK)


_NODES, _EDGES = 2, 4
_N_SITES = 8


def _offsets(graph: CrystalGraph) -> dict[str, int]:
    """Where arrays of a single structure with a single graph begin."""
    coordinates = 72
    weights = coordinates + 24 * _N_SITES
    edges = weights + 4 * (graph.n_nodes + 2 * graph.n_edges)
    elements = edges + 8 * graph.n_edges
    return {"lattice": 0, "coordinates": coordinates, "weights": weights, "edges": edges, "elements": elements}


@pytest.mark.parametrize(
    ("array", "index", "code", "values"),
    [
        ("lattice", 0, "<d", (float("nan"), float("inf"), 0.0, 0.1, 501.0, 1e308)),
        ("coordinates", 5, "<d", (float("nan"), float("-inf"), -0.1, 1.1, 1e300)),
        ("weights", 1, "<f", (float("nan"), float("inf"), -1.0, 1e30)),
        ("edges", 0, "<i", (-1, 1, 2, 1 << 30, -(1 << 31))),
        ("edges", 1, "<i", (-1, 2, 1 << 30, -(1 << 31))),
        ("edges", _EDGES - 1, "<i", (-1, 0, 2, 1 << 30, -(1 << 31))),
        ("edges", _EDGES, "<i", (-1, 2, 3, 1 << 30, -(1 << 31))),
        ("elements", 0, "B", (0, 101, 255)),
        ("elements", _N_SITES, "B", (0, 101, 255)),
    ],
)
def test_numbers_out_of_range_are_refused(array: str, index: int, code: str, values: tuple[float, ...]) -> None:
    task = TextTask(NACL_CIF, StructureFormat.CIF, "", (GraphSettings(),))
    structures = featurise(task)
    graph = structures[0].graphs[0]
    assert isinstance(graph, CrystalGraph) and (graph.n_nodes, graph.n_edges) == (_NODES, _EDGES)
    header, arrays = _parts(pack_answer(structures))
    assert unpack_answer(_message(header, arrays), task)
    for value in values:
        changed = bytearray(arrays)
        struct.pack_into(code, changed, _offsets(graph)[array] + index * struct.calcsize(code), value)
        with pytest.raises(MalformedAnswer):
            unpack_answer(_message(header, bytes(changed)), task)


def test_every_length_but_the_right_one_is_refused(structures: Structures) -> None:
    message = pack_answer(structures)
    for length in range(0, len(message), 7):
        with pytest.raises(MalformedAnswer):
            unpack_answer(bytearray(message[:length]), TASK)
    with pytest.raises(MalformedAnswer):
        unpack_answer(bytearray(message + bytes(8)), TASK)


def test_random_changes_are_refused_or_make_valid_structures(structures: Structures) -> None:
    message, generator = pack_answer(structures), random.Random(0)
    refused = 0
    for _ in range(4_000):
        changed = bytearray(message)
        for _ in range(generator.choice((1, 2, 8))):
            changed[generator.randrange(len(changed))] = generator.randrange(256)
        try:
            read = unpack_answer(changed, TASK)
        except MalformedAnswer:
            refused += 1
        else:
            _assert_safe(read)
    assert 0 < refused < 4_000


def _assert_safe(read: Structures) -> None:
    for entry in read:
        for graph in entry.graphs if entry.crystal is not None else ():
            if isinstance(graph, CrystalGraph):
                assert graph.edge_index.min() >= 0 and graph.edge_index.max() < graph.n_nodes
                assert set(graph.edge_index[0].tolist()) == set(range(graph.n_nodes))
                assert graph.atomic_numbers.min() >= 1 and graph.atomic_numbers.max() <= 100
                assert np.isfinite(graph.distances).all() and np.isfinite(graph.node_weights).all()


def test_requests_come_through_as_they_were() -> None:
    tasks: list[Task] = [
        TASK,
        TextTask("\ud800 \0 é", None, "naïve.cif", (), only_light=True),
        ObjectTask('{"a": 1}', SETTINGS[:1]),
        TextTask("", StructureFormat.JSON, "", SETTINGS),
    ]
    assert unpack_request(bytearray(pack_request(1.5, tasks))) == (1.5, tasks)
