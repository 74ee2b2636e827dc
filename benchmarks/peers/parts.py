"""What is measured. Each part is a generator: groups of rows are written as soon as they are there."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.harness import Measurement, Row, WorkerError
from benchmarks.peers.bench import ALIGNN, ASE, CGCNN2, CHGNET, MEGNET, OURS, PYMATGEN, UNMERGED, Bench
from benchmarks.peers.inputs import sizes_up_to

Rows = list[Row]
Part = Callable[[Bench], Iterator[Rows]]
LEARNING_RATE = 0.005
SAME_NETWORK = (OURS, UNMERGED, CGCNN2)


def _simple(
    bench: Bench,
    part: str,
    case: str,
    names: Sequence[str],
    baseline: str,
    method: str,
    n_structures: int,
    **arguments: Any,
) -> list[tuple[Row, Measurement]]:
    """One row each, one process, by one call."""
    threads = int(arguments.get("threads", 1))
    return [
        (
            Row(part, case, name, threads=threads, n_structures=n_structures, baseline=name == baseline),
            bench.measurement(name, method, **arguments),
        )
        for name in names
    ]


def ingestion(bench: Bench) -> Iterator[Rows]:
    """CIF file -> structure -> graph."""
    sizes = bench.sizes
    everyone = (*SAME_NETWORK, PYMATGEN, ASE, CHGNET, MEGNET, ALIGNN)
    bench.warm_up(everyone, "graphs", bench.inputs.set("p1"))
    for kind in ("p1", "symmetrised"):
        few: dict[str, Any] = {"folder": bench.inputs.set(kind), "span": [0, sizes.readers, 1]}
        case = f"CIF to structure, {kind}"
        yield bench.run(
            _simple(bench, "ingestion", case, (OURS, PYMATGEN, ASE), PYMATGEN, "read", sizes.readers, **few)
        )
        all_: dict[str, Any] = {"folder": bench.inputs.set(kind), "span": [0, sizes.predict, 1]}
        case = f"CIF to graph, {kind}"
        yield bench.run(_simple(bench, "ingestion", case, SAME_NETWORK, CGCNN2, "graphs", sizes.predict, **all_))
    some: dict[str, Any] = {"folder": bench.inputs.set("p1"), "span": [0, sizes.others, 1]}
    yield bench.run(
        _simple(bench, "ingestion", "CIF to graph, all packages", everyone, CGCNN2, "graphs", sizes.others, **some)
    )
    for size in sizes_up_to(sizes.largest_cell):
        few = {"folder": bench.inputs.set(f"size_{size}"), "span": [0, 4, 1]}
        entries = _simple(
            bench,
            "ingestion",
            "CIF to graph by atoms a cell",
            (OURS, CGCNN2, PYMATGEN, ASE),
            CGCNN2,
            "graphs",
            4,
            **few,
        )
        for row, _ in entries:
            row.x = size
        yield bench.run(entries)


def inference(bench: Bench) -> Iterator[Rows]:
    """CIF file -> prediction, and the forward pass alone."""
    bench.warm_up((*SAME_NETWORK, CHGNET, MEGNET, ALIGNN), "predict", bench.inputs.set("p1"), threads=1)
    bench.warm_up((OURS, CGCNN2), "predict", bench.inputs.set("p1"), number=1, threads=1)
    yield [_agreement(bench)]
    for kind in ("p1", "symmetrised"):
        yield bench.run(_end_to_end(bench, kind))
    yield from _forward(bench)
    sizes, folder = bench.sizes, bench.inputs.set("p1")
    one: dict[str, Any] = {"folder": folder, "span": [0, sizes.single, 1], "threads": 1}
    yield bench.run(
        _simple(
            bench, "inference", "one CIF to prediction, median", SAME_NETWORK, CGCNN2, "single", sizes.single, **one
        )
    )
    others = (OURS, CGCNN2, CHGNET, MEGNET, ALIGNN)
    some: dict[str, Any] = {"folder": folder, "span": [0, sizes.others, 1], "threads": 1}
    for case, method in (("one CIF to prediction, median, all packages", "single"), ("all packages", "predict")):
        title = case if method == "single" else f"{sizes.others} CIFs to predictions, all packages"
        yield bench.run(_simple(bench, "inference", title, others, CGCNN2, method, sizes.others, **some))
    for n in sizes.series:
        entries = _simple(
            bench, "inference", "CIFs to predictions by number", (OURS, CGCNN2), CGCNN2, "predict", n,
            folder=folder, span=[0, n, 1], threads=1,
        )  # fmt: skip
        for row, _ in entries:
            row.x = n
        yield bench.run(entries)


def _end_to_end(bench: Bench, kind: str) -> list[tuple[Row, Measurement]]:
    """All CIFs of a set, by one process and by two that share them out.

    The baseline is cgcnn2 as its command runs on two cores: one process, two threads. What else cgcnn2 can do with two
    cores is measured on the P1 files only, for time.
    """
    n, folder = bench.sizes.predict, bench.inputs.set(kind)
    case, span = f"{n} CIFs to predictions, {kind}", [0, n, 1]
    entries: list[tuple[Row, Measurement]] = []

    def add(name: str, threads: int, processes: int, measure: Measurement, baseline: bool = False) -> None:
        row = Row("inference", case, name, threads=threads, processes=processes, n_structures=n, baseline=baseline)
        entries.append((row, measure))

    single = [(OURS, 1), (OURS, 2), (UNMERGED, 1), (CGCNN2, 2), *([(CGCNN2, 1)] if kind == "p1" else [])]
    for name, threads in single:
        measure = bench.measurement(name, "predict", folder=folder, span=span, threads=threads)
        add(name, threads, 1, measure, baseline=(name, threads) == (CGCNN2, 2))
    for name in (OURS, CGCNN2) if kind == "p1" else (OURS,):
        add(name, 1, 2, bench.in_processes(2, name, "predict", span, folder=folder, threads=1))
    if kind == "p1":
        loading = bench.measurement(CGCNN2, "predict", folder=folder, span=span, threads=2, loaders=2)
        add(f"{CGCNN2}, 2 loaders", 2, 3, loading)
    return entries


def _forward(bench: Bench) -> Iterator[Rows]:
    sizes = bench.sizes
    for name in SAME_NETWORK:
        try:
            bench.worker(name).call(
                "prepare_forward", folder=bench.inputs.set("p1"), span=[0, sizes.predict, 1], batch=sizes.batch
            )
        except WorkerError as error:
            bench.broken.setdefault(name, str(error))
    case = f"forward pass, batches of {sizes.batch}"
    for threads in (1, 2):
        yield bench.run(
            _simple(bench, "inference", case, SAME_NETWORK, CGCNN2, "forward", sizes.predict, threads=threads)
        )


def _agreement(bench: Bench) -> Row:
    """Same weights, same files: how far apart the answers are. No time is measured."""
    n, folder = bench.sizes.predict, bench.inputs.set("p1")
    row = Row("inference", "agreement of the predictions", OURS, unit="", n_structures=n)
    graphs = bench.worker(OURS).call("describe", folder=folder, span=[0, n, 1])
    row.extra = {key: graphs[key] for key in ("atoms", "nodes", "edges")}
    answers: dict[str, Any] = {}
    for name in SAME_NETWORK:
        try:
            found = bench.worker(name).call("predict", folder=folder, span=[0, n, 1], threads=1, keep=True)
            answers[name] = np.array(found["predictions"])
        except WorkerError as error:
            row.extra[f"against {name}"] = str(error)
    unique = ~(np.array(graphs["tied"]) | np.array(graphs["few"]))
    row.extra |= {"without_ties": int(unique.sum()), "spread_of_predictions": float(answers[OURS].std())}
    for name, other in answers.items():
        if name != OURS:
            far = np.abs(answers[OURS] - other)
            row.extra[f"against {name}"] = {
                "max": float(far.max()),
                "median": float(np.median(far)),
                "share_within_1e-3": float((far < 1e-3).mean()),
                "max_without_ties": float(far[unique].max()) if unique.any() else None,
            }
    return row


def training(bench: Bench) -> Iterator[Rows]:
    """Epochs over the same crystals from the same weights: the first with reading and featurising, then from memory."""
    sizes = bench.sizes
    first: dict[str, Any] = {"method": "first_epoch", **_training_set(bench)}
    for case, threads, rounds, call in (
        ("first epoch, reading included", 2, sizes.epochs, first),
        ("epoch from memory", 2, sizes.epochs, {"method": "train_epoch"}),
        ("epoch from memory", 1, 1, {"method": "train_epoch"}),
    ):
        title = f"{case}, {sizes.train} crystals, batch {sizes.train_batch}"
        yield bench.run(
            _simple(bench, "training", title, SAME_NETWORK, CGCNN2, n_structures=sizes.train, threads=threads, **call),
            rounds,
        )


def _training_set(bench: Bench) -> dict[str, Any]:
    sizes = bench.sizes
    return {"folder": bench.inputs.set("p1"), "n": sizes.train, "batch": sizes.train_batch, "rate": LEARNING_RATE}


def memory(bench: Bench) -> Iterator[Rows]:
    """Largest resident memory of a process that does one thing and ends."""
    sizes = bench.sizes
    jobs = [(name, sizes.predict) for name in SAME_NETWORK] + [
        (name, sizes.others) for name in (CHGNET, MEGNET, ALIGNN)
    ]
    for name, n in jobs:
        call = {"folder": bench.inputs.set("p1"), "span": [0, n, 1], "threads": 1}
        yield [_peak(bench, f"{n} CIFs to predictions", name, n, [("predict", call)])]
    for name in SAME_NETWORK:
        calls = [("train_begin", _training_set(bench)), ("train_epoch", {"threads": 2})]
        yield [_peak(bench, f"one training epoch, {sizes.train} crystals", name, sizes.train, calls)]


def _peak(bench: Bench, case: str, name: str, n: int, calls: list[tuple[str, dict[str, Any]]]) -> Row:
    threads = int(calls[-1][1]["threads"])
    row = Row("memory", case, name, unit="MB", threads=threads, n_structures=n, baseline=name == CGCNN2)
    try:
        with bench.start(name) as worker:
            row.extra["after_start_mb"] = round(float(worker.about["peak_rss_mb"]), 1)
            for method, arguments in calls:
                answer = worker.call(method, **arguments)
            row.rounds, row.cpu_rounds = [float(answer["peak_rss_mb"])], [float(answer["cpu_s"])]
    except WorkerError as error:
        row.why_missing = str(error)
    return row


PARTS: dict[str, Part] = {"ingestion": ingestion, "inference": inference, "training": training, "memory": memory}
