"""Agreement of our CIF reader with pymatgen on a zip of CIF files, structure by structure.

    python benchmarks/cif_zoo.py PATH_TO_ZIP [--markdown FILE]

Prints the counts of every kind of outcome, every difference with its reason, and the time of both readers.
"""

import argparse
import re
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pymatgen.core.structure import Structure
from pymatgen.io.cif import CifParser

from app.structures.detect import StructureFormat, decode_text
from app.structures.reader import StructureResult, read_structures

SUFFIXES = (".cif", ".mcif")
KINDS = {
    "agree": "both read it: same composition, same number of sites",
    "both refuse": "ours gives an error; pymatgen fails, or finds the structure disordered",
    "only pymatgen": "pymatgen gives an ordered structure, ours an error",
    "only ours": "ours gives a crystal, pymatgen fails or finds disorder",
    "differ": "both read it, with another composition or number of sites",
}


@dataclass(frozen=True)
class Comparison:
    """One structure read by both: `kind` is a key of KINDS."""

    file: str
    block: str
    kind: str
    ours: str
    theirs: str


@dataclass
class Seconds:
    """Wall time spent in each reader over all files."""

    ours: float = 0.0
    theirs: float = 0.0


def compare_zip(path: Path) -> tuple[list[Comparison], int, Seconds]:
    """All comparisons, the number of files, and the seconds spent."""
    comparisons: list[Comparison] = []
    seconds = Seconds()
    n_files = 0
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if name.endswith(SUFFIXES):
                n_files += 1
                comparisons.extend(_compare_file(name, decode_text(archive.read(name)), seconds))
    return comparisons, n_files, seconds


def _compare_file(name: str, text: str, seconds: Seconds) -> Iterator[Comparison]:
    start = time.perf_counter()
    results = read_structures(text, StructureFormat.CIF)
    seconds.ours += time.perf_counter() - start
    short = name.rpartition("/")[2]
    for result in results:
        start = time.perf_counter()
        theirs = _pymatgen_structure(_block_text(text, result, len(results)))
        seconds.theirs += time.perf_counter() - start
        yield _compare(short, result, theirs)


def _block_text(text: str, result: StructureResult, n_results: int) -> str:
    """The text of one block: the file as it is when it holds one structure."""
    if n_results == 1:
        return text
    pieces = re.split(r"^(?=data_)", text, flags=re.MULTILINE)
    return next(piece for piece in pieces if piece.split(maxsplit=1)[:1] == [f"data_{result.block_name}"])


def _pymatgen_structure(text: str) -> Structure | str:
    """pymatgen's first structure, or the reason why there is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            structures = CifParser.from_str(text).parse_structures(primitive=False)
        except Exception as error:  # noqa: BLE001 - any failure of the other reader is its answer
            return f"{type(error).__name__}: {error}".partition("\n")[0][:100]
    return structures[0]


def _compare(file: str, result: StructureResult, theirs: Structure | str) -> Comparison:
    crystal, error = result.crystal, result.error
    ours = f"{crystal.n_sites} sites {crystal.reduced_formula}" if crystal is not None else ""
    if error is not None:
        ours = f"{error.code}: {error.detail}"
    if isinstance(theirs, str) or not theirs.is_ordered:
        description = theirs if isinstance(theirs, str) else f"disordered, {theirs.composition.reduced_formula}"
        return Comparison(file, result.block_name, "both refuse" if error else "only ours", ours, description)
    description = f"{len(theirs)} sites {theirs.composition.reduced_formula}"
    if crystal is None:
        return Comparison(file, result.block_name, "only pymatgen", ours, description)
    theirs.remove_oxidation_states()
    amounts = theirs.composition.get_el_amt_dict()
    hydrogen = sum(amounts.pop(symbol, 0.0) for symbol in ("H", "D", "T"))
    if hydrogen:
        amounts["H"] = hydrogen
    same = len(theirs) == crystal.n_sites and amounts == {k: float(v) for k, v in crystal.element_counts.items()}
    return Comparison(file, result.block_name, "agree" if same else "differ", ours, description)


def report(comparisons: list[Comparison], n_files: int, seconds: Seconds) -> str:
    """The table of counts and the list of differences, as Markdown."""
    counts = Counter(comparison.kind for comparison in comparisons)
    both = counts["agree"] + counts["differ"]
    lines = [
        f"{n_files} files, {len(comparisons)} structures.",
        "",
        "| outcome | structures | meaning |",
        "|---|---|---|",
    ]
    lines += [f"| {kind} | {counts[kind]} | {meaning} |" for kind, meaning in KINDS.items()]
    lines += ["", f"Where both read a structure, {counts['agree']} of {both} agree."]
    lines += [f"Time for all files: ours {seconds.ours:.2f} s, pymatgen {seconds.theirs:.2f} s.", ""]
    lines += ["| file | block | outcome | ours | pymatgen |", "|---|---|---|---|---|"]
    for comparison in comparisons:
        if comparison.kind not in ("agree", "both refuse"):
            cells = (comparison.file, comparison.block, comparison.kind, comparison.ours, comparison.theirs)
            lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("zip", type=Path, help="zip of CIF files, e.g. cif_zoo_dev.zip")
    parser.add_argument("--markdown", type=Path, help="also write the report to this file")
    arguments = parser.parse_args()
    text = report(*compare_zip(arguments.zip))
    print(text)
    if arguments.markdown is not None:
        arguments.markdown.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
