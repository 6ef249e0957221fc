"""Frozen dataclasses that describe one experiment; imports no TensorFlow.

Every value that decides a run stands here, in one tree, so that a run can be
saved as JSON, compared with another, and overridden by dotted path:

    resolve(experiment, ["training.num_steps=200"])
"""

import ast
import dataclasses
import difflib
import hashlib
import json
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from gim_tf.errors import ConfigError

Config = TypeVar("Config")


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where examples come from, and what must hold for them.

    Attributes:
      source: name of a reader, see `gim_tf.data.sources`.
      path: file or folder that the reader opens; None for embedded data.
      class_names: one name a class, in label order.
      pretrain_split: split read without its labels by pretraining.
      train_split: labelled split that the probes are fitted on.
      test_split: labelled split that the probes are scored on.
      holdout: share of the examples that becomes `test` where the source has
        no test split of its own; decided by a hash of each example's id.
      max_bad: number of unreadable examples that are tolerated (and listed).
      min_examples: smallest count that each split must have.
    """

    source: str
    class_names: tuple[str, ...]
    path: str | None = None
    pretrain_split: str = "train"
    train_split: str = "train"
    test_split: str = "test"
    holdout: float = 0.0
    max_bad: int = 0
    min_examples: int = 1

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of all splits in use, pretraining first."""
        used = (self.pretrain_split, self.train_split, self.test_split)
        return tuple(dict.fromkeys(used))


@dataclass(frozen=True, kw_only=True)
class PatchViewConfig:
    """A random crop for training, a centre crop otherwise, cut to patches.

    Sizes are in pixels. `size` is the side that stored examples have (others
    are resized to it), `pad_to` the side after zero padding, `crop_size` the
    side of the view. `mean` and `std` are on the [0, 1] scale, per channel.
    """

    size: int
    pad_to: int
    crop_size: int
    channels: Literal[1, 3]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    patch_size: int
    patch_stride: int
    flip_probability: float = 0.5
    kind: Literal["patches"] = "patches"

    @property
    def grid_side(self) -> int:
        """Patches along each side of a view."""
        return (self.crop_size - self.patch_size) // self.patch_stride + 1


@dataclass(frozen=True, kw_only=True)
class ResNetConfig:
    """A norm-free pre-activation ResNet, as a list of blocks.

    Attributes:
      block: "basic" (two 3x3) or "bottleneck" (1x1, 3x3, 1x1 with expansion).
      stem_channels: output channels of the first convolution (5x5).
      stem_strides: its stride; 1 in the paper.
      planes: width of each stage; a bottleneck's output is `expansion` times
        as wide.
      depths: blocks of each stage.
      expansion: output channels of a bottleneck, in units of its width.
    """

    block: Literal["basic", "bottleneck"]
    stem_channels: int
    planes: tuple[int, ...]
    depths: tuple[int, ...]
    expansion: int = 4
    stem_strides: int = 1
    kind: Literal["resnet"] = "resnet"


@dataclass(frozen=True, kw_only=True)
class InfoNCEConfig:
    """Local InfoNCE; see `gim_tf.losses.info_nce.InfoNCE`."""

    prediction_steps: int
    num_negatives: int
    skip_steps: int = 0
    negatives: Literal["uniform"] = "uniform"
    kind: Literal["info_nce"] = "info_nce"


@dataclass(frozen=True, kw_only=True)
class SupervisedConfig:
    """Cross-entropy of a linear head; see `gim_tf.losses.supervised`."""

    kind: Literal["supervised"] = "supervised"


@dataclass(frozen=True, kw_only=True)
class StackConfig:
    """The encoder, its division into modules, and their objective.

    Attributes:
      encoder: what the blocks are.
      module_sizes: blocks of each module, in order; (n,) trains end to end.
      objective: the local objective of every module.
    """

    encoder: ResNetConfig
    module_sizes: tuple[int, ...]
    objective: InfoNCEConfig | SupervisedConfig

    @property
    def num_modules(self) -> int:
        """Number of gradient-isolated modules."""
        return len(self.module_sizes)


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How the modules are trained.

    Attributes:
      num_steps: updates of each module.
      batch_size: examples a step.
      learning_rate: Adam's step size.
      epsilon: Adam's denominator offset (1e-8 in the authors' framework).
      schedule: "simultaneous": every module at each step; "sequential": one
        module after the other, each `num_steps` long, those below frozen.
      seed: of weights, batches, views and negatives.
      shuffle_buffer: examples held for shuffling.
      log_every: steps between log lines.
      checkpoint_every: steps between checkpoints.
      deterministic: bit-identical results for a seed on one machine.
    """

    num_steps: int
    batch_size: int
    learning_rate: float = 2e-4
    epsilon: float = 1e-8
    schedule: Literal["simultaneous", "sequential"] = "simultaneous"
    seed: int = 0
    shuffle_buffer: int = 10_000
    log_every: int = 50
    checkpoint_every: int = 200
    deterministic: bool = True


@dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """Linear and kNN probes on frozen features.

    `l2` weighs the squared weights; `grid` also probes the unpooled grid.
    """

    epochs: int = 60
    batch_size: int = 256
    learning_rate: float = 1e-3
    l2: float = 1e-4
    knn_k: int = 20
    knn_temperature: float = 0.07
    grid: bool = True


@dataclass(frozen=True, kw_only=True)
class BlessingConfig:
    """What an encoder must reach to be pushed, as accuracy in [0, 1].

    The last module's linear probe must beat the untrained encoder's by
    `margin`, and the last blessed model's minus `tolerance`.
    """

    margin: float = 0.05
    tolerance: float = 0.02


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One experiment: everything that decides its result.

    `paper`, `cost` and `summary` are for `gim experiments`.
    """

    name: str
    summary: str
    paper: str
    cost: str
    data: DataConfig
    view: PatchViewConfig
    stack: StackConfig
    training: TrainingConfig
    probe: ProbeConfig = field(default_factory=ProbeConfig)
    blessing: BlessingConfig = field(default_factory=BlessingConfig)


def to_dict(config: Any) -> dict[str, Any]:
    """Plain nested dictionaries and lists, ready for JSON."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def to_json(config: Any) -> str:
    """Readable JSON of a configuration, with sorted keys."""
    return json.dumps(to_dict(config), indent=2, sort_keys=True) + "\n"


def from_dict(values: Mapping[str, Any]) -> Experiment:
    """Inverse of `to_dict`; raises `ConfigError` for what does not fit."""
    return _convert(Experiment, values, "experiment")


def fingerprint(config: Any) -> str:
    """Short hash that changes with any value of the configuration."""
    return hashlib.sha256(to_json(config).encode()).hexdigest()[:12]


def resolve(experiment: Experiment, overrides: Iterable[str]) -> Experiment:
    """Applies `dotted.path=value` overrides, in order, and validates.

    Values are Python literals; what is no literal is taken as a string.

    Raises:
      ConfigError: unknown key (with the nearest known one), wrong type, or a
        combination that cannot run.
    """
    values = to_dict(experiment)
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator:
            raise ConfigError(
                f"Expected KEY=VALUE, such as training.num_steps=200, "
                f"received {override!r}."
            )
        _assign(values, key.strip(), _literal(text.strip()))
    resolved = from_dict(values)
    validate(resolved)
    return resolved


def validate(experiment: Experiment) -> None:
    """Raises `ConfigError` for a configuration that cannot run."""
    _check_view(experiment)
    _check_stack(experiment)
    _check_training(experiment)


def differing_keys(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Dotted keys whose values differ between two configurations."""
    flat_old, flat_new = _flatten(old), _flatten(new)
    keys = sorted(flat_old.keys() | flat_new.keys())
    missing = object()
    return [
        key
        for key in keys
        if flat_old.get(key, missing) != flat_new.get(key, missing)
    ]


def _check_view(experiment: Experiment) -> None:
    view = experiment.view
    _require(
        view.patch_size <= view.crop_size <= view.pad_to,
        "view sizes must satisfy patch_size <= crop_size <= pad_to, received "
        f"{view.patch_size}, {view.crop_size}, {view.pad_to}",
    )
    _require(
        view.size <= view.pad_to,
        f"view.pad_to must be at least view.size, received {view.pad_to} "
        f"and {view.size}",
    )
    _require(view.patch_stride >= 1, "view.patch_stride must be positive")
    _require(
        len(view.mean) == len(view.std) == view.channels,
        f"view.mean and view.std need {view.channels} values each, received "
        f"{len(view.mean)} and {len(view.std)}",
    )
    _require(
        0.0 <= view.flip_probability <= 1.0,
        "view.flip_probability must be in [0, 1]",
    )


def _check_stack(experiment: Experiment) -> None:
    stack = experiment.stack
    encoder = stack.encoder
    _require(
        len(encoder.planes) == len(encoder.depths),
        "stack.encoder.planes and depths need the same length, received "
        f"{len(encoder.planes)} and {len(encoder.depths)}",
    )
    blocks = 1 + sum(encoder.depths)
    _require(
        sum(stack.module_sizes) == blocks and min(stack.module_sizes) > 0,
        f"stack.module_sizes must be positive and sum to the {blocks} blocks "
        f"of the encoder (stem included), received {stack.module_sizes}",
    )
    objective = stack.objective
    if isinstance(objective, InfoNCEConfig):
        reach = objective.prediction_steps + objective.skip_steps
        _require(
            objective.prediction_steps >= 1 and objective.num_negatives >= 1,
            "stack.objective needs at least one prediction step and one "
            "negative",
        )
        _require(
            reach < experiment.view.grid_side,
            "stack.objective.prediction_steps + skip_steps must be smaller "
            f"than the {experiment.view.grid_side} grid rows, received {reach}",
        )


def _check_training(experiment: Experiment) -> None:
    training = experiment.training
    for name in ("num_steps", "batch_size", "log_every", "checkpoint_every"):
        value = getattr(training, name)
        _require(value >= 1, f"training.{name} must be >= 1, received {value}")
    _require(training.learning_rate > 0, "training.learning_rate must be > 0")
    _require(
        0.0 <= experiment.data.holdout < 1.0, "data.holdout must be in [0, 1)"
    )
    _require(
        len(experiment.data.class_names) >= 2,
        "data.class_names must name at least two classes",
    )


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message + ".")


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        lowered = {"true": True, "false": False, "none": None}
        return lowered.get(text.lower(), text)


def _assign(values: dict[str, Any], path: str, value: Any) -> None:
    known = _flatten(values)
    if path not in known:
        near = difflib.get_close_matches(path, known, n=1, cutoff=0.0)
        raise ConfigError(
            f"Unknown setting {path!r}; the nearest known one is {near[0]!r}."
        )
    *parents, leaf = path.split(".")
    node = values
    for parent in parents:
        node = node[parent]
    node[leaf] = value


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _convert(kind: Any, value: Any, where: str) -> Any:
    """Builds `kind` from plain JSON values, checking types on the way."""
    origin = typing.get_origin(kind)
    if dataclasses.is_dataclass(kind):
        return _convert_dataclass(kind, value, where)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(kind, value, where)
    if origin is Literal:
        if value not in typing.get_args(kind):
            raise ConfigError(
                f"{where} must be one of {list(typing.get_args(kind))}, "
                f"received {value!r}."
            )
        return value
    if origin is tuple:
        item_kind = typing.get_args(kind)[0]
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{where} must be a list, received {value!r}.")
        return tuple(_convert(item_kind, item, where) for item in value)
    return _convert_scalar(kind, value, where)


def _convert_scalar(kind: Any, value: Any, where: str) -> Any:
    is_bool = isinstance(value, bool)
    if kind is float and isinstance(value, int | float) and not is_bool:
        return float(value)
    if isinstance(value, kind) and (not is_bool or kind is bool):
        return value
    raise ConfigError(
        f"{where} must be of type {kind.__name__}, received {value!r}."
    )


def _convert_union(kind: Any, value: Any, where: str) -> Any:
    options = typing.get_args(kind)
    if value is None and type(None) in options:
        return None
    options = tuple(o for o in options if o is not type(None))
    tagged = [o for o in options if dataclasses.is_dataclass(o)]
    if not tagged:
        return _convert(options[0], value, where)
    tag = value.get("kind") if isinstance(value, Mapping) else None
    for option in tagged:
        if _tag(option) == tag:
            return _convert(option, value, where)
    raise ConfigError(
        f"{where}.kind must be one of {[_tag(o) for o in tagged]}, "
        f"received {tag!r}."
    )


def _tag(kind: Any) -> str:
    (tag,) = typing.get_args(typing.get_type_hints(kind)["kind"])
    return tag


def _convert_dataclass(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where} must be a mapping, received {value!r}.")
    hints = typing.get_type_hints(kind)
    fields = {f.name for f in dataclasses.fields(kind)}
    unknown = sorted(set(value) - fields)
    if unknown:
        near = difflib.get_close_matches(unknown[0], fields, n=1, cutoff=0.0)
        raise ConfigError(
            f"Unknown setting {where}.{unknown[0]}; the nearest known one is "
            f"{near[0]!r}."
        )
    try:
        return kind(
            **{
                name: _convert(hints[name], item, f"{where}.{name}")
                for name, item in value.items()
            }
        )
    except TypeError as error:
        raise ConfigError(f"{where} is incomplete: {error}.") from error
