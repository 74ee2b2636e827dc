"""Lee & Asahi 2021: transfer of CGCNN from big sources to a few hundred rows (Figs. 4 to 6, Tables 2, S1 and S2)."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from app.learning.hyperparameters import Hyperparameters
from app.learning.methods import Method
from app.learning.recipes import CGCNN_NETWORK
from app.registry.manifest import Architecture
from app.reproduction.protocols import Measure, Protocol, Published, System, Target, TrialData, quickly
from app.reproduction.tl_cgcnn_rows import POOLS, trial_rows
from app.reproduction.tl_cgcnn_sources import SOURCES, UNLABELLED

PAPER_BATCH = 256
PATIENCE = 100
"""Epochs after the best one at which the paper's preset stops; the paper goes on to epoch 500."""
SCRATCH, DEFAULT_SCRATCH = "CGCNN, paper", "CGCNN, default"
AUTO = "auto"
AUTO_SECONDS = 900.0
"""What `auto` is given for a model: its default."""
WIDE_SCRATCH = "CGCNN with the shape of all, paper"
_ENERGIES = "dEf"
_GAPS = "NM-Eg"
_N_SMALL, _N_LARGE = 10, 5
_HIDDEN = 128
_N_MEMBERS, _MEMBER_EPOCHS = 5, 50

_NOTES = (
    "Rows are drawn and split at random, as in the paper; all systems of a trial have the same rows. `strict`: the "
    "source has seen no formula of any target's rows.",
    "Sources: the Materials Project file of the data kit has 58,259 training rows with formation energies and 42,594 "
    "gaps of non-metals, so `all` stands for the paper's 113k-dEf and 54k-NM-Eg. They are the shipped models (96 "
    "features, SiLU, AdamW); `SGD` and `10k` sources have the paper's network (64, softplus) and training (SGD, 120 "
    "epochs), `10k` also cells of at most 20 atoms (28 with gaps). What starts from a source has its shape; "
    f"`{WIDE_SCRATCH}` shows what the shape of `all` is worth. Weights that AdamW has trained are 4 to 7 times as "
    "large as those of SGD: under batch normalisation the paper's rate hardly turns them, so `TL all, paper` acts as "
    "if they were frozen.",
    "`paper`: SGD, rate 0.01 (0.005 from a source), a tenth from epoch 100 on, MAE of the labels after equation 6, "
    f"batches of {PAPER_BATCH} or as near as divides the rows evenly. It stops {PATIENCE} epochs after the best epoch, "
    "not at epoch 500. What equation 6 gives is standardised, as the code that the paper builds on does with any "
    "label: without that, errors were larger than those of answering the mean.",
    "`default`: AdamW, one cycle of 100 epochs; see `app/learning/preset_tables.py`.",
    f"`{_N_MEMBERS} networks`: `members` {_N_MEMBERS}, {_MEMBER_EPOCHS} epochs each: the mean of networks that were "
    "each trained without another fifth of training and validation rows together. The other `default` lines use their "
    "validation rows hardly at all.",
    f"`{UNLABELLED}`: the shipped `cgcnn-denoising`, whose representation told noise from the lengths of bonds. It is "
    "what the base model `auto` is for moduli and dielectric constants. It was chosen by test errors on other draws of "
    "bulk moduli and phonons (README, Decisions).",
    "`auto`: the tournament of all methods, no paper's; 15 minutes at most; it may use the sources that the transfers "
    "of the same target start from, in the strict column only the `10k` ones. Its training error is that of a model "
    "that has seen these rows.",
    "180-NM-GW-Eg: the paper's 270 G0W0 gaps are not to be had. 270 GLLB-SC gaps, drawn once, stand in for them: other "
    "materials (the paper's are binary and ternary) and another functional, so errors cannot be compared with the "
    "paper's, only the gain.",
    "500-NM-eps: the data kit's raw values, those between 1 and 1000 kept (the paper's largest is 982), of materials "
    "whose PBE gap is above 0.1 eV.",
    "500-NM-Eg and 500-NM-dEf: rows of which gap and formation energy are both known, the same for both.",
)


class TransferCgcnn(Protocol):
    def data(self, target: Target, seed: int, kit: Path) -> TrialData:
        return trial_rows(POOLS[target.property_key], target, seed, kit)


def make(quick: bool) -> Protocol:
    targets = (*(_small(*row) for row in _SMALL), *(_large(*row) for row in _LARGE), *_scans())
    if quick:
        targets = tuple(_quick_target(target) for target in targets if target.n_train == min(500, target.n_train))
    return TransferCgcnn(
        name="tl-cgcnn",
        title="Transfer learning with CGCNN",
        citation="J. Lee, R. Asahi, Comput. Mater. Sci. 190 (2021) 110314",
        targets=targets,
        sources=SOURCES,
        notes=_NOTES,
    )


def _quick_target(target: Target) -> Target:
    """A few rows and epochs of what starts from a shipped model or nothing."""
    systems = [
        system
        for system in target.systems
        if all(SOURCES[name].shipped for name in (*system.candidates, *filter(None, [system.source])))
    ]
    return replace(target, n_train=60, n_val=15, n_test=15, n_trials=2, systems=tuple(quickly(s) for s in systems))


_LOG = Measure("mae_transformed", "MAE of log10", "")
_EV = Measure("mae", "MAE", "eV")
_EV_PER_ATOM = Measure("mae", "MAE", "eV/atom")


def _paper(
    scratch: tuple[float, float], transfer: dict[str, Published], freezing: tuple[str, float, float], *table_s2: float
) -> dict[str, Published]:
    """Test errors of Table S2 and the text, by line."""
    source, mean, std = freezing
    lines = ("PLS", "LASSO", "SVR", "RF", "SOAP ridge")
    pairs = zip(table_s2[::2], table_s2[1::2], strict=True)
    baselines = {line: Published(*pair) for line, pair in zip(lines, pairs, strict=False)}
    return {
        SCRATCH: Published(*scratch),
        **{f"TL {name}, paper": figure for name, figure in transfer.items()},
        **{f"TL {name}-SGD, paper": figure for name, figure in transfer.items() if name.startswith("all-")},
        f"freezing {source}-SGD, paper": Published(mean, std),
        **baselines,
    }


_PAPER = {
    "500-NM-Eg": _paper(
        (0.978, 0.113),
        {"10k-dEf": Published(0.866), "all-dEf": Published(0.815, 0.090)},
        ("all-dEf", 0.956, 0.099),
        1.051, 0.066, 1.078, 0.084, 1.070, 0.087, 0.872, 0.060, 1.130, 0.059,
    ),
    "500-NM-dEf": _paper(
        (0.184, 0.023),
        {"all-NM-Eg": Published(0.149, 0.021)},
        ("all-NM-Eg", 0.424, 0.033),
        0.257, 0.022, 0.262, 0.023, 0.332, 0.042, 0.215, 0.020, 0.476, 0.025,
    ),
    "500-K_VRH": _paper(
        (0.123, 0.015),
        {"all-dEf": Published(0.112, 0.012)},
        ("all-dEf", 0.161, 0.011),
        0.166, 0.013, 0.160, 0.009, 0.149, 0.024, 0.132, 0.012, 0.234, 0.020,
    ),
    "500-NM-eps": _paper(
        (0.181, 0.024),
        {"all-NM-Eg": Published(0.163, 0.024), "all-dEf": Published(0.169)},
        ("all-NM-Eg", 0.193, 0.032),
        0.200, 0.020, 0.189, 0.021, 0.200, 0.024, 0.171, 0.019, 0.225, 0.025,
    ),
    "180-NM-GW-Eg": _paper((0.783, 0.102), {"all-dEf": Published(0.591, 0.063)}, ("all-dEf", 0.867, 0.152)),
}  # fmt: skip

_SMALL: tuple[tuple[str, str, str, Measure, tuple[str, ...]], ...] = (
    ("500-K_VRH", "k_vrh", "K_VRH", _LOG, (_ENERGIES,)),
    ("180-NM-GW-Eg", "band_gap_gllbsc", "NM-GW-Eg", _EV, (_ENERGIES,)),
    ("500-NM-eps", "dielectric_total", "NM-eps", _LOG, (_GAPS, _ENERGIES)),
    ("500-NM-Eg", "band_gap", "NM-Eg", _EV, (_ENERGIES,)),
    ("500-NM-dEf", "formation_energy_per_atom", "NM-dEf", _EV_PER_ATOM, (_GAPS,)),
)
"""Name, property, series, measure, and the sources' properties, the one that the paper found best first."""

_LARGE = (
    (1000, "K_VRH"), (2000, "K_VRH"), (3500, "K_VRH"), (1000, "NM-eps"), (2900, "NM-eps"),
    (1000, "NM-Eg"), (5000, "NM-Eg"), (1000, "NM-dEf"), (5000, "NM-dEf"),
)  # fmt: skip
"""Training rows and series of the curves of error and gain against size (Figs. 4, 5c and 6d)."""


def _small(name: str, property_key: str, series: str, measure: Measure, sources: Sequence[str]) -> Target:
    """A target of Table S2 with all its systems."""
    n_train = int(name.split("-")[0])
    systems = [_scratch("paper", n_train), *_transfers("paper", sources, n_train)]
    systems += [_scratch("default", n_train), *_transfers("default", sources, n_train)]
    systems.append(_from(Method.FINE_TUNE, UNLABELLED, "default", n_train))
    systems += _several(systems, f"all-{sources[0]}")
    frozen = _from(Method.FREEZE, _as_in_the_paper(sources), "paper", n_train, "freezing")
    systems += [frozen, _strict(frozen), *_BASELINES]
    systems += [_automatic(sources, strict) for strict in (False, True)]
    shape = {**CGCNN_NETWORK, "hidden_dim": _HIDDEN}
    systems.append(replace(_scratch("paper", n_train), line=WIDE_SCRATCH, network=shape))
    n_held = n_train // 4
    return Target(
        name, property_key, n_train, n_held, n_held, _N_SMALL, POOLS[property_key].files, tuple(systems), (measure,),
        {measure.key: _PAPER[name]}, (SCRATCH, DEFAULT_SCRATCH, AUTO), series,
    )  # fmt: skip


def _automatic(sources: Sequence[str], strict: bool) -> System:
    """The tournament of methods, which may use what the transfers start from; when strict, the small ones of these."""
    candidates = tuple(f"10k-{source}-strict" if strict else f"all-{source}" for source in sources)
    settings = Hyperparameters(max_seconds=AUTO_SECONDS)
    return System(AUTO, Method.AUTO, Architecture.ENSEMBLE, settings, strict=strict, candidates=candidates)


def _large(n_train: int, series: str) -> Target:
    """A point of a curve against size: scratch, and transfer from the best source, each with the preset it fits."""
    row = next(row for row in _SMALL if row[2] == series)
    _, property_key, _, measure, sources = row
    tuned = _from(Method.FINE_TUNE, _as_in_the_paper(sources), "paper", n_train)
    modern = _from(Method.FINE_TUNE, f"all-{sources[0]}", "default", n_train)
    systems = [_scratch("paper", n_train), tuned, _strict(tuned), _scratch("default", n_train), modern]
    n_held = n_train // 4
    return Target(
        f"{n_train}-{series}", property_key, n_train, n_held, n_held, _N_LARGE, POOLS[property_key].files,
        tuple(systems), (measure,), {}, (SCRATCH, DEFAULT_SCRATCH), series,
    )  # fmt: skip


def _scans() -> tuple[Target, ...]:
    """Learning rate, its decay and the width of the last layer when transferring to 500-NM-Eg (Fig. S1), strict."""
    usual = _small(*next(row for row in _SMALL if row[0] == "500-NM-Eg"))
    tuned = _strict(_from(Method.FINE_TUNE, _as_in_the_paper([_ENERGIES]), "paper", 500))
    rates = [_varied(tuned, f"rate {rate:g}", learning_rate=rate) for rate in (1.0, 0.1, 0.01, 0.005, 0.001, 0.0001)]
    decays = [
        _varied(tuned, f"decay {factor:g}", rate_decay=factor) for factor in (10.0, 1.0, 0.1, 0.01, 0.001, 0.0001)
    ]
    widths = [_varied(tuned, f"width {width}", hidden_dim=width) for width in (4, 16, 64, 128, 256)]
    scans = (("S1a", rates, "rate 0.005"), ("S1b", decays, "decay 0.1"), ("S1c", widths, "width 64"))
    return tuple(
        replace(
            usual, name=f"{name}, 500-NM-Eg", systems=tuple(systems), published={}, references=(usually,), series=""
        )
        for name, systems, usually in scans
    )


def _varied(system: System, line: str, **changes: float) -> System:
    return replace(system, line=line, hyperparameters=system.hyperparameters.model_copy(update=changes))


def _scratch(preset: str, n_train: int) -> System:
    return System(f"CGCNN, {preset}", Method.SCRATCH, Architecture.CGCNN, _settings(preset, n_train))


def _transfers(preset: str, sources: Sequence[str], n_train: int) -> list[System]:
    """From all rows of each source, trained either way, and at the paper's settings from 10k of the best one."""
    shipped = [_from(Method.FINE_TUNE, f"all-{source}", preset, n_train) for source in sources]
    names = [f"all-{source}-SGD" for source in sources]
    if preset == "paper":
        names.insert(0, f"10k-{sources[0]}")
    as_in_the_paper = [_from(Method.FINE_TUNE, name, preset, n_train) for name in names]
    # What AdamW has trained transfers badly at the paper's settings from all rows already.
    strict = as_in_the_paper if preset == "paper" else [*shipped, *as_in_the_paper]
    return [*shipped, *as_in_the_paper, *(_strict(system) for system in strict)]


def _as_in_the_paper(sources: Sequence[str]) -> str:
    """All rows of the best source, trained as the paper does: what its rate can turn."""
    return f"all-{sources[0]}-SGD"


def _strict(system: System) -> System:
    return replace(system, source=f"{system.source}-strict", strict=True)


def _from(method: Method, source: str, preset: str, n_train: int, verb: str = "TL") -> System:
    line = f"{verb} {source}, {preset}"
    return System(line, method, Architecture.CGCNN, _settings(preset, n_train), source)


def _several(systems: Sequence[System], best: str) -> list[System]:
    """Of scratch, of the best source and of the one without labels, the mean of several networks."""
    lines = (DEFAULT_SCRATCH, f"TL {best}, default", f"TL {UNLABELLED}, default")
    changes = {"members": _N_MEMBERS, "max_epochs": _MEMBER_EPOCHS, "patience": _MEMBER_EPOCHS}
    single = [next(system for system in systems if system.line == line and not system.strict) for line in lines]
    return [_varied(system, f"{system.line}, {_N_MEMBERS} networks", **changes) for system in single]


def _settings(preset: str, n_train: int) -> Hyperparameters:
    if preset == "default":
        return Hyperparameters(preset="default")
    return Hyperparameters(preset="paper", batch_size=n_train // -(-n_train // PAPER_BATCH), patience=PATIENCE)


_BASELINES = tuple(
    System(line, method, Architecture.BASELINE, Hyperparameters(preset="paper"))
    for line, method in (
        ("PLS", Method.PLS),
        ("LASSO", Method.LASSO),
        ("SVR", Method.SVR),
        ("RF", Method.RANDOM_FOREST),
        ("SOAP ridge", Method.SOAP_RIDGE),
    )
)
