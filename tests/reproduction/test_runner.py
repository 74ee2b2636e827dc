"""Trials are run once, resumed, spread over processes and never mixed."""

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch

from app.core.errors import InvalidJob
from app.learning.hyperparameters import Hyperparameters
from app.learning.methods import Method
from app.registry.manifest import Architecture
from app.reproduction.execution import Bench
from app.reproduction.protocols import Protocol, System, get_protocol, protocol_names, quickly
from app.reproduction.runner import Selection, run_trials, wanted_trials
from app.reproduction.store import ResultStore
from app.reproduction.trials import Places, Trial, make_trial
from tests.reproduction.tiny import DATA_FILE, SYSTEMS


class Quiet:
    """Counts; raises KeyboardInterrupt after so many trials."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.total, self.texts, self.stop_after = 0, [], stop_after

    def start(self, total: int) -> None:
        self.total = total

    def say(self, text: str) -> None:
        self.said = text

    def done(self, text: str) -> None:
        self.texts.append(text)
        if len(self.texts) == self.stop_after:
            raise KeyboardInterrupt


def trials_of(protocol: Protocol, places: Places, selection: Selection | None = None) -> list[Trial]:
    return wanted_trials(protocol, selection or Selection(), places)[0]


def maes(store: ResultStore) -> dict[str, float]:
    return {key: r.metrics.test.mae for key, r in store.records().items() if r.metrics and r.metrics.test}


def test_systems_of_a_seed_follow_each_other(protocol: Protocol, places: Places) -> None:
    trials, missing = wanted_trials(protocol, Selection(), places)
    assert [(t.seed, t.system.line) for t in trials] == [
        (seed, line) for seed in (0, 1) for line in ("scratch", "transfer", "pls")
    ]
    assert len(missing) == 1
    assert "xtalforge reproduce tiny --source strict" in missing[0]


def test_selection_by_beginnings_of_targets_and_parts_of_lines(places: Places) -> None:
    everything = get_protocol("tl-cgcnn")
    assert "tl-cgcnn" in protocol_names()
    picked = Selection(targets=("500-k_vrh", "180"), lines=("CGCNN",), trials=3)
    names = {t.name for t in everything.targets if any(picked.wants(t, s.line) for s in t.systems)}
    assert names == {"500-K_VRH", "180-NM-GW-Eg"}
    assert not picked.wants(everything.targets[0], "TL all-dEf, default")
    assert picked.seeds(everything.targets[0]) == range(3)


def test_interrupted_and_gone_on(protocol: Protocol, places: Places, store: ResultStore) -> None:
    trials = trials_of(protocol, places)
    with pytest.raises(KeyboardInterrupt):
        run_trials(protocol, trials, store, places, "cpu", 1, Quiet(stop_after=2))
    first = store.records()
    assert len(first) == 2
    meter = Quiet()
    assert run_trials(protocol, trials, store, places, "cpu", 1, meter) == len(trials) - 2 == meter.total
    assert len(store.records()) == len(trials)
    assert {key: store.records()[key] for key in first} == first
    assert run_trials(protocol, trials, store, places, "cpu", 1, Quiet()) == 0
    assert not list((places.work / "runs").iterdir())


@pytest.mark.proof
def test_processes_give_the_same_numbers(protocol: Protocol, places: Places, store: ResultStore) -> None:
    trials = [t for t in trials_of(protocol, places) if t.system.line != "transfer"]
    run_trials(protocol, trials, store, places, "cpu", 1, Quiet())
    other = ResultStore(store.folder.with_name("others"))
    run_trials(protocol, trials, other, places, "cpu", 2, Quiet())
    assert maes(other) == pytest.approx(maes(store), rel=1e-4)
    assert len(maes(other)) == len(trials)


def test_trials_trained_together_give_what_each_gives_alone(protocol: Protocol, places: Places) -> None:
    trials = [t for t in trials_of(protocol, places) if t.system.line == "transfer"]
    bench = Bench(protocol, places)
    alone = [bench.run(trial, lambda _: None) for trial in trials]
    together = bench.run_together(trials, lambda _: None)
    for (one, rows), (other, other_rows) in zip(alone, together, strict=True):
        assert (one.key, one.test_rows, one.best_epoch) == (other.key, other.test_rows, other.best_epoch)
        assert rows is not None
        assert other_rows is not None
        np.testing.assert_allclose(other_rows.predictions, rows.predictions, rtol=1e-4)


def test_all_systems_have_the_same_test_rows(protocol: Protocol, places: Places, store: ResultStore) -> None:
    run_trials(protocol, trials_of(protocol, places), store, places, "cpu", 1, Quiet())
    for seed in (0, 1):
        records = [r for r in store.records().values() if r.trial["seed"] == seed]
        assert len(records) == 3
        assert len({r.test_rows for r in records}) == 1
        kept = [store.test_rows()[r.key].labels.tolist() for r in records]
        assert kept[0] == kept[1] == kept[2]


def test_whatever_changes_a_result_changes_its_key(protocol: Protocol, places: Places) -> None:
    target, (scratch, transfer, strict, _) = protocol.targets[0], SYSTEMS

    def key(system: System = scratch, seed: int = 0, n_train: int = target.n_train) -> str:
        return make_trial(protocol, replace(target, n_train=n_train), system, seed, places).key

    longer = replace(scratch, hyperparameters=Hyperparameters(max_epochs=3, batch_size=8))
    other_data = Places(places.kit.with_name("kit2"), places.models, places.work)
    other_data.kit.mkdir()
    (other_data.kit / DATA_FILE).write_text("2.0")
    found = [
        key(), key(longer), key(transfer), key(replace(strict, source="shipped")), key(seed=1), key(n_train=25),
        make_trial(protocol, target, scratch, 0, other_data).key,
    ]  # fmt: skip
    assert len(set(found)) == len(found)
    assert key() == found[0]


def test_a_hyperparameter_that_came_later_leaves_earlier_trials_what_they_were(
    protocol: Protocol, places: Places
) -> None:
    def named(kept: Literal["best", "last"]) -> dict[str, object]:
        given = Hyperparameters(max_epochs=2, batch_size=8, kept_weights=kept)
        trial = make_trial(protocol, protocol.targets[0], replace(SYSTEMS[0], hyperparameters=given), 0, places)
        found: dict[str, object] = trial.identity["hyperparameters"]
        return found

    assert "kept_weights" not in named("best")
    assert named("last")["kept_weights"] == "last"


def test_a_trial_that_cannot_be_trained_is_a_result(protocol: Protocol, places: Places, store: ResultStore) -> None:
    absurd = System("absurd", Method.SCRATCH, Architecture.CGCNN, Hyperparameters(max_epochs=3, learning_rate=10.0,
                    batch_size=2, optimizer="sgd", gradient_clip=0.0, loss="mse", schedule="constant"))  # fmt: skip
    trial = make_trial(protocol, protocol.targets[0], absurd, 0, places)
    meter = Quiet()
    run_trials(protocol, [trial], store, places, "cpu", 1, meter)
    failure = store.records()[trial.key].failure
    assert failure is not None
    assert "learning_rate" in failure
    assert "failed" in meter.texts[0]


def test_rows_that_a_system_cannot_read_stop_the_run(protocol: Protocol, places: Places) -> None:
    trial = trials_of(protocol, places)[0]
    bench = Bench(protocol, places)
    data = protocol.data(trial.target, 0, places.kit)
    lone = replace(data.table.items[0], lattice=np.eye(3) * 60.0)
    items = [lone, *data.table.items[1:]]
    broken = replace(data, table=replace(data.table, items=items))

    class Broken(type(protocol)):  # type: ignore[misc]
        def data(self, *_: object) -> object:
            return broken

    bench.protocol = Broken(**{name: getattr(protocol, name) for name in protocol.__dataclass_fields__})
    with pytest.raises((ValueError, InvalidJob), match="equal rows"):
        bench.run(trial, lambda _: None)


def test_a_tournament_uses_the_sources_it_names(protocol: Protocol, places: Places) -> None:
    alone = System("auto", Method.AUTO, Architecture.ENSEMBLE, Hyperparameters(max_seconds=3))
    helped = replace(alone, candidates=("shipped",))
    target = protocol.targets[0]
    trials = [make_trial(protocol, target, system, 0, places) for system in (alone, helped)]
    assert trials[0].key != trials[1].key
    for trial, expected in zip(trials, (False, True), strict=True):
        record, _ = Bench(protocol, places).run(trial, lambda _: None)
        assert record.search is not None and record.coverage is not None
        assert any("cgcnn-formation-energy" in name for name in record.search["sources"]) == expected


def test_quick_systems_are_short() -> None:
    network = quickly(System("a", Method.SCRATCH, Architecture.CGCNN, Hyperparameters(preset="paper")))
    assert network.hyperparameters.max_epochs == 2
    assert network.hyperparameters.preset == "paper"
    search = quickly(System("b", Method.AUTOML_FRACTIONS, Architecture.BASELINE))
    assert search.hyperparameters.n_trials == 2
    tournament = quickly(System("d", Method.AUTO, Architecture.ENSEMBLE, candidates=("shipped",)))
    assert tournament.hyperparameters.max_seconds == 10
    grid = System("c", Method.PLS, Architecture.BASELINE)
    assert quickly(grid) == grid


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_groups_on_a_gpu_give_the_same_results(protocol: Protocol, places: Places, store: ResultStore) -> None:
    trials = trials_of(protocol, places)
    run_trials(protocol, trials, store, places, "cpu", 1, Quiet())
    other = ResultStore(store.folder.with_name("others"))
    run_trials(protocol, trials, other, places, "cuda", 1, Quiet())
    assert maes(other) == pytest.approx(maes(store), rel=1e-2)
