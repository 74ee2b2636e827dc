"""Small texts are read in the thread that others wait for: whatever they say, they cost milliseconds there."""

import asyncio
import time

import pytest

from app.learning.graphs.settings import GraphSettings
from app.predictions.compute_client import LaneClient
from app.predictions.compute_messages import DONE
from app.predictions.examples import NACL_CIF
from app.predictions.featuriser import Featuriser
from app.predictions.inputs import RawInput, StructureText
from app.predictions.lane_reader import LaneReader
from app.predictions.pool import ReaderProcess
from app.predictions.selection import SelectedModel
from app.predictions.service import Asked, PredictionService
from app.predictions.tasks import LANE_CHARACTERS, LIGHT_CHARACTERS, TextTask, featurise
from app.structures import symmetry
from app.structures.detect import StructureFormat
from tests.predictions.hostile_worker import MODULE
from tests.predictions.lanes import running_lane

MOST_S = 0.1
"""Of processor time, far above what was measured (0.02), and below what each of these cost before it was bounded."""

_SITES = [f"C .{137 * i % 997:03d} .{71 * i % 997:03d} .{251 * i % 997:03d}\n" for i in range(300)]
_HEADS = "loop_\n_atom_site_label\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n"


def _cif(
    cell: tuple[float, ...], n_sites: int, symmetry_lines: str = "", name: str = "x", most: int = LIGHT_CHARACTERS
) -> str:
    tags = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines = "".join(f"_cell_{tag} {value}\n" for tag, value in zip(tags, cell, strict=True))
    return f"data_{name}\n{lines}{symmetry_lines}{_HEADS}{''.join(_SITES[:n_sites])}"[:most]


def _poscar(rows: str, n_sites: int) -> str:
    positions = "".join(site[2:] for site in _SITES[:n_sites])
    return f"x\n1\n{rows}\nC\n{n_sites}\nD\n{positions}"[:LIGHT_CHARACTERS]


def _magnetic(n_operations: int) -> str:
    operations = "".join(f"x+{i % 8}/8,y,z\n" for i in range(n_operations))
    tags = ("_space_group_symop_magn_operation.xyz", "_space_group_symop_magn_centering.xyz")
    return "".join(f"loop_\n{tag}\n{operations}" for tag in tags)


_CUBE = (40.0, 40.0, 40.0, 90.0, 90.0, 90.0)
_HIGHEST = "_symmetry_space_group_name_H-M 'F m -3 c'\n"
CIFS = {
    "empty lines": "x\n" + "\n" * 3_990 + "dat",
    "sites times operations": _cif(_CUBE, 200, _HIGHEST),
    "operations times centrings": _cif(_CUBE, 1, _magnetic(120)),
    "blocks times operations": "".join(_cif(_CUBE, 2, _HIGHEST, str(i)) for i in range(12))[:LIGHT_CHARACTERS],
    "empty blocks": "data_\n" * 660,
    "needle": _cif((499, 500, 500, 60, 60, 0.0004377), 2) + _SITES[1],
    "splinter": _cif((2, 500, 500, 90, 90, 0.5), 150),
    "long and skewed": _cif((500, 500, 500, 5, 5, 9.99), 150),
    "long and obtuse": _cif((500, 500, 500, 119.99, 119.99, 119.99), 150),
    "long": _cif((500, 500, 500, 90, 90, 90), 150),
    "brackets": _cif(_CUBE, 1, "_chemical_formula_sum '(((((H9)9)9)9)9)'\n"),
    "quotes": "data_x\n" + "'a\" " * 990,
    "blanks in a type": _cif(_CUBE, 0).replace("label", "type_symbol") + f"'{'A,   ' * 15}!' 0 0 0\n",
    "types": _cif(_CUBE, 0).replace("label", "type_symbol") + f"{'A+' * 35}! 0 0 0\n" * 45,
}
POSCARS = {
    "skewed beyond measure": _poscar("3 0 0\n498 3 0\n498 498 3", 10),
    "skewed with close neighbours": _poscar("499 499 499\n496 499 499\n499 496 499", 10),
    "long and skewed": _poscar("500 0 0\n500 .01 6.463\n500 500 500", 150),
}
LONG = {
    "sites times operations": _cif(_CUBE, 104, f"{_HIGHEST}{'#' * 3_000}\n", most=LANE_CHARACTERS),
    "blocks": "".join(_cif(_CUBE, 150, "_symmetry_space_group_name_H-M 'P -1'\n", str(i)) for i in range(5)),
    "splinter": _cif((2, 500, 500, 90, 90, 0.5), 300, most=LANE_CHARACTERS),
    "long and skewed": _cif((500, 500, 500, 5, 5, 9.99), 300, most=LANE_CHARACTERS),
    "long and obtuse": _cif((500, 500, 500, 119.99, 119.99, 119.99), 300, most=LANE_CHARACTERS),
    "long": _cif((500, 500, 500, 90, 90, 90), 300, most=LANE_CHARACTERS),
    "dense": _cif((13, 13, 13, 90, 90, 90), 300, most=LANE_CHARACTERS),
    "quotes": "data_x\n" + "'a\" " * 3_900,
}
TEXTS = [
    *((StructureFormat.CIF, name, text) for name, text in CIFS.items()),
    *((StructureFormat.POSCAR, name, text) for name, text in POSCARS.items()),
]
IDS = [f"{fmt}: {name}" for fmt, name, _ in TEXTS]


def _task(text: str, fmt: StructureFormat = StructureFormat.CIF, n_neighbours: int | None = 12) -> TextTask:
    return TextTask(text, fmt, "", (GraphSettings(n_neighbours=n_neighbours),), only_light=True)


@pytest.mark.parametrize("n_neighbours", [12, None])
@pytest.mark.parametrize(("fmt", "name", "text"), TEXTS, ids=IDS)
def test_no_small_text_costs_much(fmt: StructureFormat, name: str, text: str, n_neighbours: int | None) -> None:
    assert len(text) <= LIGHT_CHARACTERS
    featurise(_task(NACL_CIF))
    symmetry.operations_from_triplets.cache_clear()
    started = time.thread_time()
    featurise(_task(text, fmt, n_neighbours))
    assert time.thread_time() - started < MOST_S


@pytest.mark.parametrize("n_neighbours", [12, None])
@pytest.mark.parametrize("name", LONG)
def test_no_long_text_costs_its_reader_much(name: str, n_neighbours: int | None) -> None:
    assert LIGHT_CHARACTERS < len(LONG[name]) <= LANE_CHARACTERS
    started = time.thread_time()
    featurise(_task(LONG[name], n_neighbours=n_neighbours))
    assert time.thread_time() - started < MOST_S


def test_ordinary_small_texts_are_light() -> None:
    texts = [NACL_CIF, _cif((6, 7, 8, 80, 95, 110), 20), _cif((12, 12, 30, 90, 90, 120), 60)]
    assert all(featurise(_task(text)) for text in texts)


def test_long_texts_are_not_light() -> None:
    assert featurise(_task(NACL_CIF + "#" * LANE_CHARACTERS * 4)) == []


def test_dense_radius_graphs_are_not_light() -> None:
    text = _cif((10.5, 10.5, 10.5, 90, 90, 90), 140)
    assert featurise(_task(text)) and not featurise(_task(text, n_neighbours=None))


def test_others_are_answered_meanwhile(service: PredictionService, energy: list[SelectedModel]) -> None:
    """Of the slowest texts and a reader that hangs at one of them."""
    reader = LaneReader(ReaderProcess(20.0, MODULE), 20.0)
    hanging = Featuriser().start([TextTask("!hang", None, "", ())])
    reader.give(hanging.parts())
    salts = [NACL_CIF.replace("5.6402", f"5.{number}") for number in range(100, 200)]

    async def timed(lane: LaneClient, text: str, fmt: StructureFormat) -> float:
        started = time.monotonic()
        status, _ = await lane.ask(Asked([RawInput("x", StructureText(text, fmt))]), energy)
        return time.monotonic() - started if status == DONE else 0.0

    async def scenario() -> list[float]:
        async with running_lane(service, [reader]) as lane:
            await timed(lane, NACL_CIF, StructureFormat.CIF)
            waits: list[float] = []
            for index, salt in enumerate(salts):
                fmt, _, text = TEXTS[index % len(TEXTS)]
                both = await asyncio.gather(timed(lane, text, fmt), timed(lane, salt, StructureFormat.CIF))
                waits.append(both[1])
        return waits

    waits = sorted(asyncio.run(scenario()))
    assert not hanging.is_done
    # Half of them: on a busy machine single answers are late whatever is asked. None waits for the hanging reader.
    assert waits[0] > 0 and waits[49] < 3 * MOST_S and waits[-1] < 10.0
