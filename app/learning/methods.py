"""Methods on offer: what each makes of which data, starting from what. Importable without torch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from app.core.errors import InvalidJob
from app.learning.hyperparameters import FeatureName
from app.registry.manifest import Architecture, InputKind


class Method(StrEnum):
    SCRATCH = "scratch"
    FINE_TUNE = "fine_tune"
    FREEZE = "freeze"
    FREEZE_EARLY = "freeze_early"
    TL1 = "tl1"
    TL2 = "tl2"
    TL3 = "tl3"
    RL_RELU = "rl_relu"
    RL_DENSE = "rl_dense"
    TLRL_RELU = "tlrl_relu"
    TLRL_DENSE = "tlrl_dense"
    PLS = "pls"
    LASSO = "lasso"
    SVR = "svr"
    RANDOM_FOREST = "rf"
    EXTRA_TREES = "extra_trees"
    GRADIENT_BOOSTING = "gradient_boosting"
    SOAP_RIDGE = "soap_krr"
    AUTOML_FRACTIONS = "automl_ef"
    AUTOML_ATTRIBUTES = "automl_pa"
    AUTO = "auto"


@dataclass(frozen=True, slots=True)
class MethodInfo:
    """One way to train.

    `source` is where it comes from. `makes` are the architectures it can make from nothing; `bases` maps the
    architecture of a base model to that of the model made from it. `max_rows` bounds the rows it is fitted to.
    `baseline_features` are the hyperparameter `features` that a baseline may read, the paper's first.
    """

    name: Method
    description: str
    source: str
    makes: tuple[Architecture, ...] = ()
    bases: Mapping[Architecture, Architecture] = field(default_factory=dict)
    max_rows: int | None = None
    baseline_features: tuple[FeatureName, ...] = ()

    @property
    def needs_base(self) -> bool:
        return bool(self.bases)

    @property
    def architectures(self) -> tuple[Architecture, ...]:
        """Of the models it makes."""
        return self.makes or tuple(self.bases.values())

    def input_kind(
        self, architecture: Architecture, features: FeatureName | None = None, data: InputKind | None = None
    ) -> InputKind:
        """What the models it makes of such data read, with the hyperparameter `features` where it is given."""
        if architecture is Architecture.ENSEMBLE:
            return data or InputKind.STRUCTURE
        if architecture is Architecture.BASELINE:
            structural = self.name is Method.SOAP_RIDGE or features in STRUCTURAL_FEATURES
            return InputKind.STRUCTURE if structural else InputKind.COMPOSITION
        return InputKind.STRUCTURE if architecture in _GRAPH_NETWORKS else InputKind.COMPOSITION

    def data_kinds(self, architecture: Architecture) -> tuple[InputKind, ...]:
        """Data sets it trains on; a baseline that reads compositions takes those of structures too."""
        if architecture is Architecture.ENSEMBLE:
            return (InputKind.STRUCTURE, InputKind.COMPOSITION)
        kind = self.input_kind(architecture)
        if architecture is Architecture.BASELINE and kind is InputKind.COMPOSITION:
            return (InputKind.STRUCTURE, InputKind.COMPOSITION)
        return (kind,)


KERNEL_ROWS = 10_000
"""Most rows of a kernel machine."""

STRUCTURAL_FEATURES: tuple[FeatureName, ...] = ("bonding",)
"""Those of a baseline that a composition does not have."""

_GRAPH_NETWORKS = (Architecture.CGCNN, Architecture.SCHNET)
_CGCNN = {Architecture.CGCNN: Architecture.CGCNN}
_SCHNET = {Architecture.SCHNET: Architecture.SCHNET}
_ELEMNET = {Architecture.ELEMNET: Architecture.ELEMNET}
_ON_ELEMNET = {Architecture.ELEMNET: Architecture.ELEMNET_REPRESENTATION}
_BASELINE = (Architecture.BASELINE,)
_MAGPIE_FIRST: tuple[FeatureName, ...] = ("magpie", "bonding")
_ON_FEATURES = "on Magpie descriptors, or on these and descriptors of the bonds (`features`)"
_LEE = "Lee & Asahi 2021"
_KRAWCZUK = "Krawczuk & Venturi 2020"
_GUPTA = "Gupta et al. 2024"

_NETWORK_METHODS = (
    MethodInfo(
        Method.SCRATCH,
        "Train every weight from random numbers: CGCNN or SchNet (`network`) on structures, ElemNet on elemental "
        "fractions or physical attributes (`features`). The baseline any transfer has to beat.",
        f"{_LEE}, 2.1; {_KRAWCZUK}, 4; {_GUPTA}, SC",
        makes=(Architecture.CGCNN, Architecture.SCHNET, Architecture.ELEMNET),
    ),
    MethodInfo(
        Method.FINE_TUNE,
        "Start from the base model's weights and train them all.",
        f"{_LEE}, 2.2; {_GUPTA}, TL",
        bases=_CGCNN | _ELEMNET,
    ),
    MethodInfo(
        Method.FREEZE,
        "Keep the base model's representation (embedding and convolutions, or all hidden layers of ElemNet), train "
        "only what follows it.",
        f"{_LEE}, S2; {_GUPTA}, RL: Freezing",
        bases=_CGCNN | _ELEMNET,
    ),
    MethodInfo(
        Method.FREEZE_EARLY,
        "Keep the embedding and the first convolutions (`frozen_convolutions`) of the base model, train the rest.",
        f"{_LEE}, 2.2",
        bases=_CGCNN,
    ),
    MethodInfo(Method.TL1, "Start from a SchNet and train all its weights.", f"{_KRAWCZUK}, TL1", bases=_SCHNET),
    MethodInfo(Method.TL2, "Keep the embedding of a SchNet, train the rest.", f"{_KRAWCZUK}, TL2", bases=_SCHNET),
    MethodInfo(
        Method.TL3,
        "Keep embedding and interactions of a SchNet, train only the output layers.",
        f"{_KRAWCZUK}, TL3",
        bases=_SCHNET,
    ),
)

_REPRESENTATION_METHODS = (
    MethodInfo(
        Method.RL_RELU,
        "Train a new ElemNet on what hidden layer `layer` of the base model gives after its ReLU.",
        f"{_GUPTA}, RL: DL (ReLU)",
        bases=_ON_ELEMNET,
    ),
    MethodInfo(
        Method.RL_DENSE,
        "The same on what the layer gives before its ReLU.",
        f"{_GUPTA}, RL: DL (Dense)",
        bases=_ON_ELEMNET,
    ),
    MethodInfo(
        Method.TLRL_RELU,
        "As `rl_relu`, with the new network starting from the base model's weights; its first layer is new.",
        f"{_GUPTA}, TL+RL: DL (ReLU)",
        bases=_ON_ELEMNET,
    ),
    MethodInfo(
        Method.TLRL_DENSE,
        "As `rl_dense`, with the new network starting from the base model's weights; its first layer is new.",
        f"{_GUPTA}, TL+RL: DL (Dense)",
        bases=_ON_ELEMNET,
    ),
)

_BASELINE_METHODS = (
    MethodInfo(
        Method.PLS,
        f"Partial least squares {_ON_FEATURES}.",
        f"{_LEE}, Table S2",
        _BASELINE,
        baseline_features=_MAGPIE_FIRST,
    ),
    MethodInfo(Method.LASSO, f"Lasso {_ON_FEATURES}.", f"{_LEE}, Table S2", _BASELINE, baseline_features=_MAGPIE_FIRST),
    MethodInfo(
        Method.SVR,
        f"Support vectors with an RBF kernel {_ON_FEATURES}.",
        f"{_LEE}, Table S2",
        _BASELINE,
        max_rows=KERNEL_ROWS,
        baseline_features=_MAGPIE_FIRST,
    ),
    MethodInfo(
        Method.RANDOM_FOREST,
        f"Random forest {_ON_FEATURES}.",
        f"{_LEE}, Table S2",
        _BASELINE,
        baseline_features=_MAGPIE_FIRST,
    ),
    MethodInfo(
        Method.EXTRA_TREES,
        f"Extremely randomised trees {_ON_FEATURES}.",
        "beyond the papers",
        _BASELINE,
        baseline_features=_MAGPIE_FIRST,
    ),
    MethodInfo(
        Method.GRADIENT_BOOSTING,
        f"Gradient-boosted trees {_ON_FEATURES}.",
        "beyond the papers",
        _BASELINE,
        baseline_features=_MAGPIE_FIRST,
    ),
    MethodInfo(
        Method.SOAP_RIDGE,
        "Kernel ridge regression with the average SOAP kernel.",
        f"{_LEE}, Table S2",
        _BASELINE,
        max_rows=KERNEL_ROWS,
    ),
    MethodInfo(
        Method.AUTOML_FRACTIONS,
        "Search over eight families of scikit-learn regressors (`n_trials`) on elemental fractions.",
        f"{_GUPTA}, SC: ML (EF)",
        _BASELINE,
    ),
    MethodInfo(
        Method.AUTOML_ATTRIBUTES,
        "The same search on the 145 physical attributes.",
        f"{_GUPTA}, SC: ML (PA)",
        _BASELINE,
    ),
)

_AUTOMATIC = (
    MethodInfo(
        Method.AUTO,
        "Let all methods that fit the data compete by cross-validation within `max_seconds`, and make one model of "
        "those that add to each other: fine-tuned and fresh networks, and regressors on descriptors and on what "
        "pretrained models predict. The report says who was how good and whether the winner beats simple baselines.",
        "beyond the papers",
        (Architecture.ENSEMBLE,),
    ),
)

METHODS: tuple[MethodInfo, ...] = (*_AUTOMATIC, *_NETWORK_METHODS, *_REPRESENTATION_METHODS, *_BASELINE_METHODS)


def method_info(method: Method) -> MethodInfo:
    return next(info for info in METHODS if info.name == method)


def methods_for_data(kind: InputKind) -> list[Method]:
    """Methods that train on data sets of that kind."""
    return [info.name for info in METHODS if any(kind in info.data_kinds(each) for each in info.architectures)]


def named(methods: Iterable[Method]) -> str:
    return ", ".join(method.value for method in methods)


def architecture_from(method: Method, base: Architecture) -> Architecture:
    """Of the model the method makes from a base model. Raises InvalidJob naming the methods for such a base."""
    made = method_info(method).bases.get(base)
    if made is None:
        offer = named(info.name for info in METHODS if base in info.bases)
        raise InvalidJob(
            f"Method {method.value!r} does not start from {base.value} models. "
            + (f"Methods that do: {offer}." if offer else "No method does.")
        )
    return made
