"""The method chosen by a tournament: nested cross-validation over all that fits the data, then the best combination."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from app.learning.baselines.search import Watch, make_folds
from app.learning.checkpoints import load_network
from app.learning.networks.ensemble import EnsembleNetwork
from app.learning.networks.ensemble_settings import EnsembleSettings, MemberSettings, SourceSettings
from app.learning.representations import Composite
from app.learning.splits import Split
from app.learning.strategies.run import Fitted, Run, SearchEvent
from app.learning.targets import TargetMap
from app.learning.tournament.entrants import NetworkEntrant, networks, regressors, usable_sources
from app.learning.tournament.fitting import (
    Course,
    Part,
    RegressorFits,
    SourceColumns,
    source_columns,
)
from app.learning.tournament.kept import Kept
from app.learning.tournament.report import Findings, described
from app.learning.tournament.rounds import Standing, Tournament
from app.registry.manifest import Architecture, InputKind, Manifest, TargetScaling

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Contest:
    """A tournament that was played: what came of it, and the pretrained models whose values entrants may read."""

    course: Course
    findings: Findings
    sources: Sequence[SourceSettings]
    networks: Sequence[nn.Module]
    watch: Watch

    def model_of(self, standings: Sequence[tuple[Standing, float]]) -> EnsembleNetwork:
        """The mean of entrants with weights that sum to 1: regressors fitted to all rows, networks of all folds."""
        settings: list[MemberSettings] = []
        parts: list[Part] = []
        for standing, weight in standings:
            for part, share in _parts(standing, weight, self.watch):
                settings.append(_member(standing, part, share))
                parts.append(part)
        needs_sources = any(member.needs_sources for member in settings)
        representation = self.course.run.representation
        assert isinstance(representation, Composite)
        ensemble = EnsembleSettings(
            descriptors=representation.descriptors,
            sources=tuple(self.sources) if needs_sources else (),
            members=tuple(settings),
        )
        used = self.networks if needs_sources else []
        return EnsembleNetwork(ensemble, used, [part.network for part in parts]).to(self.course.run.device)


def fit_automatically(run: Run) -> Fitted:
    """Let all entrants predict rows they have not seen, and make one model of those that add to each other.

    Rows of the test part take no part in anything. Folds that have ended are kept, and the time they took, so that an
    interrupted run trains none twice and has no more time than another. Raises InvalidJob, TrainingStopped.
    """
    kept = Kept(run.work_dir, run.run_key)
    earlier_s = kept.spent_s
    started = time.monotonic() - earlier_s
    contest = play(run, kept)
    course, findings = contest.course, contest.findings
    network = contest.model_of(findings.winners())
    assert run.spec.hyperparameters.max_seconds
    curve = findings.learning_curve(contest.watch, started + run.spec.hyperparameters.max_seconds)
    return Fitted(
        network,
        TargetMap(run.spec.property.transform, TargetScaling(kind="none")),
        Split(course.rows, course.rows[:0], run.split.test),
        history=[],
        earlier_s=earlier_s,
        search=described(findings, curve, time.monotonic() - started),
        held_out_errors=findings.errors(findings.winning_predictions),
    )


def play(run: Run, kept: Kept) -> Contest:
    """All entrants meet. Folds are of whole formulas unless the split is random. Raises InvalidJob, TrainingStopped."""
    chosen = run.spec.hyperparameters
    assert chosen.max_seconds and isinstance(run.representation, Composite)
    kind = InputKind.STRUCTURE if run.representation.needs_structure else InputKind.COMPOSITION
    usable = usable_sources(kind, run.sources)
    manifests, reads = [m for (m, _), _ in usable], [name for _, name in usable]
    loaded = [load_network(manifest, weights, run.device) for (manifest, weights), _ in usable]
    course = _course(run, source_columns(loaded, reads, run) if loaded else None)
    watch = Watch(_told(run), run.should_stop)
    tournament = Tournament(
        course,
        regressors(kind, course.rows.shape[0], has_sources=bool(loaded)),
        networks(kind, run.sources),
        chosen.max_seconds,
        torch.get_num_threads(),
        watch.on_progress,
        run.should_stop,
        kept,
    )
    standings = tournament.play()
    named = [f"{m.name}/{m.weights_sha256[:12]}" for m in manifests]
    findings = Findings.of(course, standings, named, _of_the_same_property(course, manifests))
    sources = [
        SourceSettings(label=m.name, architecture=m.architecture, network=m.network, reads=name)
        for m, name in zip(manifests, reads, strict=True)
    ]
    return Contest(course, findings, sources, loaded, watch)


def _course(run: Run, known: SourceColumns | None) -> Course:
    chosen = run.spec.hyperparameters
    assert chosen.n_folds
    rows = np.union1d(run.split.train, run.split.val)
    formulas = [run.prepared.keys[row] for row in rows]
    groups = None if chosen.split == "random" else formulas
    folds = make_folds(rows.shape[0], chosen.n_folds, run.spec.seed, groups)
    return Course(run, rows, run.transformed_labels(rows), formulas, None if known is None else known.take(rows), folds)


def _of_the_same_property(course: Course, manifests: Sequence[Manifest]) -> dict[str, FloatArray]:
    """What pretrained models of the very property say of the rows, on the transformed scale."""
    wanted, found = course.run.spec.property, {}
    for number, manifest in enumerate(manifests):
        known = manifest.property
        if (known.key, known.unit, known.transform) == (wanted.key, wanted.unit, wanted.transform):
            assert course.known is not None
            outputs = course.known.outputs[:, number].astype(np.float64)
            found[manifest.name] = TargetMap(known.transform, manifest.scaling).to_transformed(outputs)
    return found


def _told(run: Run) -> Callable[[int, int, str], None]:
    def tell(done: int, total: int, text: str) -> None:
        run.on_search(SearchEvent(done, total, text))

    return tell


def _parts(standing: Standing, weight: float, watch: Watch) -> Sequence[tuple[Part, float]]:
    if isinstance(standing.fits, RegressorFits):
        return [(standing.fits.fit_all(watch), weight)]
    found = [standing.fits.parts[number] for number in sorted(standing.fits.parts)]
    return [(part, weight / len(found)) for part in found]


def _member(standing: Standing, part: Part, weight: float) -> MemberSettings:
    entrant = standing.entrant
    settings = part.network.settings.model_dump(mode="json")  # type: ignore[operator,union-attr]
    if isinstance(entrant, NetworkEntrant):
        return MemberSettings(
            label=entrant.name, architecture=entrant.architecture, network=settings, reads=entrant.reads,
            scaling=part.scaling, weight=weight,
        )  # fmt: skip
    return MemberSettings(
        label=entrant.name, architecture=Architecture.BASELINE, network=settings, reads=entrant.reads.value,
        n_columns=entrant.n_columns, with_sources=entrant.with_sources, with_embeddings=entrant.with_embeddings,
        scaling=part.scaling, weight=weight,
    )  # fmt: skip
