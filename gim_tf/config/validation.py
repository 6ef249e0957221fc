"""What the types of a configuration cannot say: which values go together."""

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from gim_tf.config.schema import (
    Experiment,
    InfoNCEConfig,
    SupervisedConfig,
)
from gim_tf.errors import ConfigError

# Smallest values, by dotted path; a list holds to it with each of its items.
_AT_LEAST = {
    "data.max_bad": 0,
    "data.min_examples": 1,
    "view.size": 1,
    "view.patch_size": 1,
    "view.patch_stride": 1,
    "stack.encoder.stem_channels": 1,
    "stack.encoder.stem_strides": 1,
    "stack.encoder.planes": 1,
    "stack.encoder.depths": 1,
    "stack.encoder.expansion": 1,
    "stack.module_sizes": 1,
    "stack.objective.prediction_steps": 1,
    "stack.objective.num_negatives": 1,
    "stack.objective.skip_steps": 0,
    "training.num_steps": 1,
    "training.batch_size": 1,
    "training.seed": 0,
    "training.shuffle_buffer": 1,
    "training.log_every": 1,
    "training.checkpoint_every": 1,
    "training.epsilon": 0.0,
    "probe.epochs": 1,
    "probe.batch_size": 1,
    "probe.l2": 0.0,
    "probe.knn_k": 1,
}
_POSITIVE = (
    "view.std",
    "training.learning_rate",
    "probe.learning_rate",
    "probe.knn_temperature",
)
# These become parts of file names.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def validate(experiment: Experiment) -> None:
    """Raises `ConfigError` for a configuration that cannot run."""
    _check_ranges(dataclasses.asdict(experiment))
    _check_names(experiment)
    _check_view(experiment)
    _check_stack(experiment)


def _check_ranges(values: Mapping[str, Any]) -> None:
    for path, value in _leaves(values):
        _require(
            not isinstance(value, float) or math.isfinite(value),
            f"{path} must be finite, received {value}",
        )
        low = _AT_LEAST.get(path)
        _require(
            low is None or value >= low,
            f"{path} must be >= {low}, received {value}",
        )
        _require(
            path not in _POSITIVE or value > 0,
            f"{path} must be > 0, received {value}",
        )


def _leaves(
    values: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any]]:
    """(dotted path, value) of every number and text, lists item by item."""
    for key, value in values.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{path}.")
        elif isinstance(value, tuple):
            yield from ((path, item) for item in value)
        else:
            yield path, value


def _check_names(experiment: Experiment) -> None:
    data = experiment.data
    for name in (experiment.name, *data.splits):
        _require(
            _NAME.fullmatch(name) is not None,
            "names of experiments and splits are made of letters, digits, _ "
            f"and -, received {name!r}",
        )
    _require(
        len(set(data.class_names)) == len(data.class_names) >= 2,
        "data.class_names must name at least two classes, each once, "
        f"received {list(data.class_names)}",
    )
    _require(0.0 <= data.holdout < 1.0, "data.holdout must be in [0, 1)")


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
        sum(stack.module_sizes) == blocks,
        f"stack.module_sizes must sum to the {blocks} blocks "
        f"of the encoder (stem included), received {stack.module_sizes}",
    )
    objective = stack.objective
    _require(
        not isinstance(objective, SupervisedConfig)
        or experiment.data.pretrain_split != "unlabelled",
        "a supervised objective needs a labelled data.pretrain_split, received "
        "'unlabelled'",
    )
    if isinstance(objective, InfoNCEConfig):
        reach = objective.prediction_steps + objective.skip_steps
        _require(
            reach < experiment.view.grid_side,
            "stack.objective.prediction_steps + skip_steps must be smaller "
            f"than the {experiment.view.grid_side} grid rows, received {reach}",
        )


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message + ".")
