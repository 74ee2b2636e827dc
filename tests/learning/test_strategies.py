"""Every method on the one path: what it trains, what it keeps, that it repeats, resumes, stops and answers."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load

from app.core.errors import InvalidJob
from app.learning.baselines.kernel_models import MAX_SUPPORT
from app.learning.baselines.methods import Baseline
from app.learning.checkpoints import load_network
from app.learning.evaluation import CHEMICAL_ACCURACY, split_metrics
from app.learning.hyperparameters import Hyperparameters
from app.learning.methods import KERNEL_ROWS, METHODS, Method, method_info
from app.learning.networks.elemnet import ElemNet17, ElemNetSettings
from app.learning.networks.representation import RepresentationElemNet
from app.learning.networks.schnet import SchNet, SchNetSettings
from app.learning.predictor import Predictor
from app.learning.presets import resolve_hyperparameters
from app.learning.representations import ELEMENTAL_FRACTIONS, representation_of
from app.learning.samples import GraphSamples, make_samples
from app.learning.targets import TargetMap
from app.learning.training.loop import LabelledSamples, Trainer, TrainingEvent, TrainingStopped, _optimizer
from app.learning.training.plan import TrainingPlan
from app.learning.training.plateau import rate_on_plateau
from app.learning.training_job import SearchEvent, TrainedModel, TrainingSpec, TrainingTable, train_model
from app.properties.catalogue import Transform, get_property
from app.registry.card import render_card
from app.registry.manifest import Architecture, InputKind, Manifest, Parent, PropertyRecord, TargetScaling
from app.structures.composition import parse_composition
from tests.crystals import perovskite, rocksalt

CPU = torch.device("cpu")
PAIRS = [(a, x) for a in ("Li", "Na", "K", "Rb", "Mg", "Ca", "Sr", "Ba") for x in ("F", "Cl", "Br", "I", "O", "S")]
ENERGY = PropertyRecord.of(get_property("formation_energy_per_atom"))
STRUCTURES = (Architecture.CGCNN, Architecture.SCHNET)
FEW = {"max_epochs": 2, "batch_size": 8}
NO_NETWORKS = (Architecture.BASELINE, Architecture.ENSEMBLE)
NETWORKS = [(i.name, a) for i in METHODS for a in i.architectures if a not in NO_NETWORKS]


def crystals() -> TrainingTable:
    items = [rocksalt(4.2 + 0.05 * i, a, x) for i, (a, x) in enumerate(PAIRS)]
    return TrainingTable(items, np.array([-200.0 / c.volume for c in items]), [f"{a}{x}" for a, x in PAIRS])


def compositions() -> TrainingTable:
    table = crystals()
    return TrainingTable([parse_composition(name) for name in table.row_ids], table.targets, table.row_ids)


def spec(
    method: Method, architecture: Architecture, record: PropertyRecord = ENERGY, seed: int = 1, **given: object
) -> TrainingSpec:
    chosen = Hyperparameters.model_validate(given)
    resolved = resolve_hyperparameters(architecture, method, chosen, len(PAIRS))
    return TrainingSpec(
        name="mine", method=method, architecture=architecture, property=record, seed=seed, hyperparameters=resolved,
        dataset_name="rocksalts",
    )  # fmt: skip


def run(
    job: TrainingSpec,
    folder: Path,
    base: TrainedModel | None = None,
    table: TrainingTable | None = None,
    on_event: Callable[[TrainingEvent], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
    on_search: Callable[[SearchEvent], None] = lambda _: None,
) -> TrainedModel:
    if table is None:
        table = crystals() if job.architecture in STRUCTURES else compositions()
    parent = Parent(name="base", version=1, weights_sha256=base.manifest.weights_sha256) if base else None
    start = (base.manifest, base.weights) if base else None
    return train_model(table, job, start, parent, folder, on_event, should_stop, "cpu", on_search)


Bases = dict[Architecture, TrainedModel]


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Bases:
    """One trained network of each kind."""
    made = {}
    for architecture, network in (("cgcnn", "cgcnn"), ("schnet", "schnet-2"), ("elemnet", "elemnet-17")):
        job = spec(Method.SCRATCH, Architecture(architecture), seed=7, network=network, **FEW)
        made[Architecture(architecture)] = run(job, tmp_path_factory.mktemp(architecture))
    return made


def base_for(method: Method, architecture: Architecture, bases: Bases) -> TrainedModel | None:
    sources = [base for base, made in method_info(method).bases.items() if made is architecture]
    return bases[sources[0]] if sources else None


def quickly(method: Method, architecture: Architecture) -> dict[str, object]:
    return FEW | ({"layer": 2} if architecture is Architecture.ELEMNET_REPRESENTATION else {})


@pytest.mark.parametrize(("method", "architecture"), NETWORKS)
def test_every_network_method_trains_answers_and_repeats(
    method: Method, architecture: Architecture, bases: Bases, tmp_path: Path
) -> None:
    base = base_for(method, architecture, bases)
    job = spec(method, architecture, **quickly(method, architecture))
    first, again = run(job, tmp_path / "a", base), run(job, tmp_path / "b", base)
    assert first.weights == again.weights
    manifest = Manifest.model_validate_json(first.manifest.model_dump_json())
    assert (manifest.training.method, manifest.architecture) == (method.value, architecture)
    assert (manifest.parent is not None) == method_info(method).needs_base
    assert manifest.input_kind is method_info(method).input_kind(architecture)
    table = crystals() if architecture in STRUCTURES else compositions()
    answers = Predictor.from_bytes(manifest, first.weights).predict([table.items[i] for i in first.test_rows])
    np.testing.assert_allclose(answers, first.test_predictions, rtol=2e-4, atol=1e-6)


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    return {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize(
    ("method", "architecture", "trained"),
    [
        (Method.TL1, Architecture.SCHNET, {"embedding", "interactions", "output"}),
        (Method.TL2, Architecture.SCHNET, {"interactions", "output"}),
        (Method.TL3, Architecture.SCHNET, {"output"}),
        (Method.FINE_TUNE, Architecture.ELEMNET, {"hidden", "output"}),
        (Method.FREEZE, Architecture.ELEMNET, {"output"}),
    ],
)
def test_frozen_weights_stay_bit_for_bit(
    method: Method, architecture: Architecture, trained: set[str], bases: Bases, tmp_path: Path
) -> None:
    base = bases[architecture]
    model = run(spec(method, architecture, **FEW), tmp_path, base)
    assert moved(load(base.weights), load(model.weights)) == trained


@pytest.mark.parametrize(
    ("method", "architecture"), [(Method.TL1, Architecture.SCHNET), (Method.FINE_TUNE, Architecture.ELEMNET)]
)
def test_a_transferred_start_is_the_source(
    method: Method, architecture: Architecture, bases: Bases, tmp_path: Path
) -> None:
    base = bases[architecture]
    table = crystals() if architecture in STRUCTURES else compositions()
    same = run(spec(method, architecture, max_epochs=1, learning_rate=1e-30, weight_decay=0.0), tmp_path, base)
    wanted = Predictor.from_bytes(base.manifest, base.weights).predict(table.items)
    assert Predictor.from_bytes(same.manifest, same.weights).predict(table.items) == wanted
    assert same.manifest.scaling == base.manifest.scaling


def test_another_property_starts_with_the_sources_atoms_and_a_new_output(bases: Bases, tmp_path: Path) -> None:
    base = bases[Architecture.SCHNET]
    gap = PropertyRecord.of(get_property("band_gap"))
    positive = TrainingTable(crystals().items, -crystals().targets, crystals().row_ids)
    gentle = {"max_epochs": 1, "learning_rate": 1e-30, "weight_decay": 0.0}
    model = run(spec(Method.TL1, Architecture.SCHNET, gap, **gentle), tmp_path, base, positive)
    assert moved(load(base.weights), load(model.weights)) == {"output"}
    networks = [load_network(m.manifest, m.weights, CPU) for m in (base, model)]
    samples, _ = make_samples(crystals().items, representation_of(base.manifest))
    batch = samples.batch(np.arange(8), CPU)
    before, after = (network.embed(batch) for network in networks)  # type: ignore[operator]
    assert torch.equal(before, after)
    assert model.manifest.metrics.test is not None and model.manifest.metrics.test.mae_total is None


def test_totals_weigh_the_error_of_each_cell_by_its_atoms(tmp_path: Path) -> None:
    items = [rocksalt(5.0, "Na", "Cl"), perovskite(3.9, "Sr", "Ti", "O"), rocksalt(5.2, "K", "Cl")]
    job = spec(Method.SCRATCH, Architecture.SCHNET, network="schnet-2", target="total", loss="mse", scaling="none")
    torch.manual_seed(0)
    network = SchNet(SchNetSettings(n_interactions=1, n_atom_basis=8, n_filters=8))
    samples, _ = make_samples(items, network.settings.graph_settings())
    assert isinstance(samples, GraphSamples)
    labels = np.array([-2.0, -3.0, -1.0])
    assert samples.n_sites.tolist() == [len(item.atomic_numbers) for item in items]
    sites = samples.n_sites.astype(float)
    with torch.no_grad():
        outputs = network(samples.batch(np.arange(3), CPU)).double().numpy()
    rows = LabelledSamples(samples, labels, sites)
    plan = TrainingPlan.of(job.hyperparameters.model_copy(update={"max_epochs": 1, "batch_size": 3}), 0)
    target_map = TargetMap(Transform.IDENTITY, TargetScaling(kind="none"))
    trainer = Trainer(network, plan, target_map, rows, rows, tmp_path, "key", CPU)
    loss = trainer._train_step([(np.arange(3), samples.batch(np.arange(3), CPU))], 3)
    assert float(loss) == pytest.approx(np.mean((outputs * sites - labels * sites) ** 2), rel=1e-5)


def test_energies_per_atom_are_measured_for_whole_cells_too() -> None:
    labels, predictions = np.array([-1.0, -2.0, -3.0]), np.array([-1.01, -2.01, -3.2])
    found = split_metrics(labels, predictions, Transform.IDENTITY, np.array([4, 5, 1]))
    # 0.04 and 0.05 eV and 0.2 eV; chemical accuracy is 0.0434 eV.
    assert found.mae_total == pytest.approx((0.04 + 0.05 + 0.2) / 3)
    assert found.within_chemical_accuracy == pytest.approx(1 / 3)
    assert pytest.approx(0.043364, rel=1e-4) == CHEMICAL_ACCURACY
    assert split_metrics(labels, predictions, Transform.IDENTITY).within_chemical_accuracy is None


def test_schnet_on_totals_of_a_source_per_atom(bases: Bases, tmp_path: Path) -> None:
    base = bases[Architecture.SCHNET]
    model = run(spec(Method.TL1, Architecture.SCHNET, target="total", **FEW), tmp_path, base)
    test = model.manifest.metrics.test
    assert test is not None and test.mae_total is not None
    # Every cell here has eight atoms, and answers stay per atom.
    assert test.mae_total == pytest.approx(test.mae * 8, rel=1e-6)
    assert "chemical accuracy" in render_card(model.manifest)
    modulus = PropertyRecord.of(get_property("k_vrh"))
    with pytest.raises(InvalidJob, match="properties per atom, but k_vrh is in GPa"):
        run(spec(Method.TL1, Architecture.SCHNET, modulus, target="total"), tmp_path, base)


def test_the_rate_falls_on_plateaus(bases: Bases, tmp_path: Path) -> None:
    events: list[TrainingEvent] = []
    job = spec(
        Method.TL3, Architecture.SCHNET, preset="paper", max_epochs=90, batch_size=32, learning_rate=1.0,
        target="per_atom",
    )  # fmt: skip
    run(job, tmp_path, bases[Architecture.SCHNET], on_event=events.append)
    losses = [event.train_loss for event in events]
    rates = [event.learning_rate for event in events]
    assert rates == [rate_on_plateau(losses[:epoch], 1.0) for epoch in range(90)]
    assert rates[0] == 1.0 and rates[-1] < 1.0


def test_adam_adds_its_penalty_to_the_loss() -> None:
    """With a gradient of 0 decoupled decay shrinks a weight by rate * decay, Adam by the full rate."""
    job = spec(Method.SCRATCH, Architecture.SCHNET, preset="paper", weight_decay=1e-3)
    parameter = torch.nn.Parameter(torch.tensor([2.0]))
    parameter.grad = torch.zeros(1)
    _optimizer([parameter], TrainingPlan.of(job.hyperparameters, 0)).step()
    assert parameter.item() == pytest.approx(2.0 - 1e-4, abs=1e-6)


def test_attributes_are_standardised_inside_the_model(tmp_path: Path) -> None:
    job = spec(Method.SCRATCH, Architecture.ELEMNET, features="physical_attributes", **FEW)
    model = run(job, tmp_path)
    network = load_network(model.manifest, model.weights, CPU)
    assert isinstance(network, ElemNet17) and network.settings.n_features == 145
    # "0-norm", the number of elements, is 2 in every row: it is centred only.
    assert float(network.mean[0]) == 2.0 and float(network.scale[0]) == 1.0
    tuned = run(spec(Method.FINE_TUNE, Architecture.ELEMNET, **FEW), tmp_path / "tuned", model)
    assert torch.equal(load(tuned.weights)["mean"], load(model.weights)["mean"])
    with pytest.raises(InvalidJob, match="elemental fractions"):
        run(spec(Method.RL_RELU, Architecture.ELEMNET_REPRESENTATION, layer=1), tmp_path / "rl", model)


def test_standardised_columns_by_hand() -> None:
    network = ElemNet17(ElemNetSettings(features="physical_attributes", n_features=2, widths=(4,)))
    network.standardise(np.array([[1.0, 5.0], [3.0, 5.0]], dtype=np.float32))
    assert network.mean.tolist() == [2.0, 5.0] and network.scale.tolist() == [1.0, 1.0]
    plain = ElemNet17(ElemNetSettings(n_features=2, widths=(4,)))
    plain.load_state_dict({k: v for k, v in network.state_dict().items() if k not in ("mean", "scale")})
    rows = torch.tensor([[1.0, 5.0], [4.0, 6.0]])
    assert torch.equal(network(rows), plain(torch.tensor([[-1.0, 0.0], [2.0, 1.0]])))


@pytest.mark.parametrize(
    ("method", "features", "carried"),
    [
        (Method.RL_RELU, "relu", False),
        (Method.RL_DENSE, "dense", False),
        (Method.TLRL_RELU, "relu", True),
        (Method.TLRL_DENSE, "dense", True),
    ],
)
def test_representation_methods_read_the_sources_layer(
    method: Method, features: str, carried: bool, bases: Bases, tmp_path: Path
) -> None:
    base = bases[Architecture.ELEMNET]
    gentle = {"max_epochs": 1, "learning_rate": 1e-30, "weight_decay": 0.0, "layer": 2}
    model = run(spec(method, Architecture.ELEMNET_REPRESENTATION, **gentle), tmp_path, base)
    network = load_network(model.manifest, model.weights, CPU)
    source = load_network(base.manifest, base.weights, CPU)
    assert isinstance(network, RepresentationElemNet) and isinstance(source, ElemNet17)
    fractions = make_samples(compositions().items, ELEMENTAL_FRACTIONS)[0].batch(np.arange(9), CPU)
    assert isinstance(fractions, torch.Tensor)
    dense = source.hidden[1](torch.relu(source.hidden[0](fractions)))
    assert torch.equal(network.represent(fractions), torch.relu(dense) if features == "relu" else dense)
    equal = [torch.equal(a.weight, b.weight) for a, b in zip(network.head.hidden, source.hidden, strict=True)]  # type: ignore[arg-type]
    assert equal == [False] + [carried] * 15
    assert torch.equal(network.head.output.weight, source.output.weight) == carried


def test_the_layer_is_chosen_on_validation_and_the_search_goes_on_where_it_was(bases: Bases, tmp_path: Path) -> None:
    base = bases[Architecture.ELEMNET]
    few = {"max_epochs": 20, "batch_size": 16, "patience": 20}
    job = spec(Method.TLRL_DENSE, Architecture.ELEMNET_REPRESENTATION, **few)
    assert job.hyperparameters.layer == "auto"
    events: list[TrainingEvent] = []
    whole = run(job, tmp_path / "whole", base, on_event=events.append)
    assert [event.epoch for event in events] == list(range(1, 29))
    assert {event.max_epochs for event in events} == {28}
    assert [event.stage for event in events[:8:2]] == ["layer 1", "layer 2", "layer 3", "layer 4"]
    search = whole.manifest.training.search
    assert search is not None
    assert {event.stage for event in events[8:]} == {f"layer {search['layer']}"}
    assert search["epochs"] == 2
    errors = search["validation_errors"]
    assert list(errors) == ["layer 1", "layer 2", "layer 3", "layer 4"]
    assert errors[f"layer {search['layer']}"] == min(errors.values())
    alone = run(
        spec(Method.TLRL_DENSE, Architecture.ELEMNET_REPRESENTATION, layer=search["layer"], **few), tmp_path / "a", base
    )
    assert alone.weights == whole.weights
    assert f"layer {search['layer']}" in render_card(whole.manifest)
    told: list[TrainingEvent] = []
    with pytest.raises(TrainingStopped):
        run(job, tmp_path / "parts", base, on_event=told.append, should_stop=lambda: len(told) >= 5)
    resumed: list[TrainingEvent] = []
    again = run(job, tmp_path / "parts", base, on_event=resumed.append)
    assert resumed[0].epoch in (5, 6) and resumed[0].stage == "layer 3"
    assert again.weights == whole.weights


def test_without_a_schedule_that_ends_low_each_layer_is_trained_in_full(bases: Bases, tmp_path: Path) -> None:
    few = {"preset": "paper", "max_epochs": 3, "batch_size": 16}
    events: list[TrainingEvent] = []
    job = spec(Method.RL_DENSE, Architecture.ELEMNET_REPRESENTATION, **few)
    whole = run(job, tmp_path / "whole", bases[Architecture.ELEMNET], on_event=events.append)
    assert [event.stage for event in events][::3] == ["layer 1", "layer 2", "layer 3", "layer 4"]
    assert len(events) == 12
    search = whole.manifest.training.search
    assert search is not None
    fixed = spec(Method.RL_DENSE, Architecture.ELEMNET_REPRESENTATION, layer=search["layer"], **few)
    assert run(fixed, tmp_path / "fixed", bases[Architecture.ELEMNET]).weights == whole.weights


def test_a_layer_the_source_does_not_have_is_refused(bases: Bases, tmp_path: Path) -> None:
    shallow = spec(Method.SCRATCH, Architecture.ELEMNET, **FEW).model_copy(update={"network": {"widths": (8, 8)}})
    base = run(shallow, tmp_path / "base")
    with pytest.raises(InvalidJob, match="layer is 3, but the base model has 2 hidden layers"):
        run(spec(Method.RL_RELU, Architecture.ELEMNET_REPRESENTATION, layer=3), tmp_path, base)


def test_baselines_are_methods_with_the_same_bounds() -> None:
    assert {b.value for b in Baseline} == {i.name.value for i in METHODS if Architecture.BASELINE in i.architectures}
    assert KERNEL_ROWS == MAX_SUPPORT


@pytest.mark.parametrize("method", [Method(b.value) for b in Baseline if b is not Baseline.SOAP_RIDGE])
def test_every_baseline_becomes_a_model_that_answers_for_both_kinds(method: Method, tmp_path: Path) -> None:
    few = {"n_trials": 3} if method.value.startswith("automl") else {}
    events: list[SearchEvent] = []
    job = spec(method, Architecture.BASELINE, n_folds=2, **few)
    model = run(job, tmp_path, table=crystals(), on_search=events.append)
    manifest = Manifest.model_validate_json(model.manifest.model_dump_json())
    assert (manifest.input_kind, manifest.graph) == (InputKind.COMPOSITION, None)
    network = run(spec(Method.SCRATCH, Architecture.CGCNN, **FEW), tmp_path / "network")
    assert model.test_rows.tolist() == network.test_rows.tolist()
    assert (manifest.training.n_train, manifest.training.n_val, manifest.metrics.val) == (40, 0, None)
    assert manifest.metrics.test is not None and manifest.metrics.test.n == 8
    assert manifest.training.search is not None and manifest.training.search["cv_mae"] > 0
    assert "scikit-learn" in manifest.training.software
    cv_mae = manifest.scaling.std * manifest.training.search["cv_mae"]
    assert f"cross-validated MAE on the learned scale {cv_mae:.4g} ±" in render_card(manifest)
    assert "Epochs" not in render_card(manifest)
    predictor = Predictor.from_bytes(manifest, model.weights)
    from_crystals = predictor.predict([crystals().items[i] for i in model.test_rows])
    np.testing.assert_allclose(from_crystals, model.test_predictions, rtol=1e-6)
    from_compositions = predictor.predict([compositions().items[i] for i in model.test_rows])
    np.testing.assert_allclose(from_compositions, from_crystals, rtol=1e-6)
    assert events[0].done == 0 and events[-1].total >= 1
    assert run(job, tmp_path, table=crystals()).weights == model.weights


def test_soap_reads_structures(tmp_path: Path) -> None:
    model = run(spec(Method.SOAP_RIDGE, Architecture.BASELINE, n_folds=2), tmp_path, table=crystals())
    manifest = Manifest.model_validate_json(model.manifest.model_dump_json())
    assert (manifest.input_kind, manifest.graph) == (InputKind.STRUCTURE, None)
    answers = Predictor.from_bytes(manifest, model.weights).predict(
        [*(crystals().items[i] for i in model.test_rows), parse_composition("NaCl")]
    )
    assert getattr(answers.pop(), "code", "") == "input_kind_mismatch"
    np.testing.assert_allclose(answers, model.test_predictions, rtol=1e-6)
    with pytest.raises(InvalidJob, match="Only 0 rows can be used"):
        run(spec(Method.SOAP_RIDGE, Architecture.BASELINE), tmp_path, table=compositions())


@pytest.mark.parametrize("method", [m for m in Method if "bonding" in method_info(m).baseline_features])
def test_baselines_on_bonds_read_structures(method: Method, tmp_path: Path) -> None:
    job = spec(method, Architecture.BASELINE, n_folds=2, features="bonding")
    model = run(job, tmp_path, table=crystals())
    manifest = Manifest.model_validate_json(model.manifest.model_dump_json())
    assert (manifest.input_kind, manifest.graph) == (InputKind.STRUCTURE, None)
    assert manifest.network["descriptor"] == "bonding"
    assert method_info(method).input_kind(Architecture.BASELINE, "bonding") is manifest.input_kind
    answers = Predictor.from_bytes(manifest, model.weights).predict(
        [*(crystals().items[i] for i in model.test_rows), parse_composition("NaCl")]
    )
    assert getattr(answers.pop(), "code", "") == "input_kind_mismatch"
    np.testing.assert_allclose(answers, model.test_predictions, rtol=1e-6)
    assert run(job, tmp_path, table=crystals()).weights == model.weights


def test_features_that_a_method_does_not_read_are_refused() -> None:
    refused = {
        (Method.SVR, Architecture.BASELINE, "physical_attributes"): "'svr' does not read .* It reads magpie, bonding",
        (Method.SCRATCH, Architecture.ELEMNET, "bonding"): "It reads elemental_fractions, physical_attributes",
        (Method.SOAP_RIDGE, Architecture.BASELINE, "magpie"): "does not use features",
    }
    for (method, architecture, features), reason in refused.items():
        with pytest.raises(InvalidJob, match=reason):
            spec(method, architecture, features=features)
    assert spec(Method.EXTRA_TREES, Architecture.BASELINE).hyperparameters.features == "magpie"


def test_a_baselines_search_is_stopped_at_once(tmp_path: Path) -> None:
    told: list[SearchEvent] = []
    with pytest.raises(TrainingStopped):
        run(
            spec(Method.SVR, Architecture.BASELINE), tmp_path, on_search=told.append,
            should_stop=lambda: len(told) >= 5,
        )  # fmt: skip
    assert len(told) == 5
