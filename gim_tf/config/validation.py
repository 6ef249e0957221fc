"""What the types of a configuration cannot say: which values go together."""

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gim_tf.config.bounds import AT_LEAST, POSITIVE
from gim_tf.config.encoders import Conv1DConfig, Conv2DConfig, ResNetConfig
from gim_tf.config.objectives import InfoNCEConfig, PredSimConfig
from gim_tf.config.probes import ProbeConfig, SequenceProbeConfig
from gim_tf.config.schema import (
    DataConfig,
    Experiment,
    PatchViewConfig,
    WindowViewConfig,
)
from gim_tf.config.training import TrainingConfig
from gim_tf.errors import ConfigError

# Where frame labels stand, see `gim_tf.data.alignments`.
LABEL_HOP = 160  # samples
LABEL_RATE = 16_000  # of them a second
# These become parts of file names.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def validate(experiment: Experiment) -> None:
    """Raises `ConfigError` for a configuration that cannot run."""
    _check_ranges(dataclasses.asdict(experiment))
    _check_names(experiment)
    _check_shares(experiment.data)
    _check_view(experiment)
    _check_probe(experiment)
    _check_heldout(experiment.training)
    _check_stack(experiment)
    _check_probed_sizes(experiment)
    _check_frames(experiment)


def check_labels(tasks: Sequence[str], data: DataConfig) -> None:
    """Raises `ConfigError` for a task without labels, once data are known.

    Args:
      tasks: of the probes.
      data: with the names that ingest found.
    """
    _require(
        "phone" not in tasks or len(data.frame_names) > 0,
        "probe.tasks names 'phone', and no recording has frame labels. Name "
        "their file, data.frame_labels, or leave the task out, "
        "probe.tasks=['speaker']",
    )
    _require(
        "speaker" not in tasks or len(data.class_names) > 1,
        "probe.tasks names 'speaker', and the recordings are of "
        f"{len(data.class_names)} speaker(s), expected two or more",
    )


def _check_ranges(values: Mapping[str, Any]) -> None:
    for path, value in _leaves(values):
        _require(
            not isinstance(value, float) or math.isfinite(value),
            f"{path} must be finite, received {value}",
        )
        low = AT_LEAST.get(path)
        _require(
            low is None or value is None or value >= low,
            f"{path} must be >= {low}, received {value}",
        )
        _require(
            path not in POSITIVE or value is None or value > 0,
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
    # Phones are told of a single speaker, too.
    least = 1 if experiment.probe.tasks == ("phone",) else 2
    count = len(data.class_names)
    _require(
        len(set(data.class_names)) == count and (not count or count >= least),
        f"data.class_names must name {least} or more classes, each once, or "
        f"none where the source names them, received {list(data.class_names)}",
    )
    _require(0.0 <= data.holdout < 1.0, "data.holdout must be in [0, 1)")


def _check_shares(data: DataConfig) -> None:
    shares = (data.train_share, data.test_share)
    _require(
        shares == (0.0, 0.0) or (min(shares) > 0.0 and sum(shares) <= 1.0),
        "data.train_share and data.test_share must both be 0, or both be "
        f"above 0 and sum to at most 1, received {shares[0]:g} and "
        f"{shares[1]:g}",
    )
    _require(
        not (any(shares) and data.frame_labels),
        "data.frame_labels are of whole recordings, which data.train_share "
        "divides; set one",
    )
    _require(
        not (any(shares) and data.holdout),
        "data.holdout and data.train_share both divide the data; set one",
    )


def _check_probe(experiment: Experiment) -> None:
    view, probe = experiment.view, experiment.probe
    fitting = {
        PatchViewConfig: ProbeConfig,
        WindowViewConfig: SequenceProbeConfig,
    }
    _require(
        isinstance(probe, fitting[type(view)]),
        f"probe.kind {probe.kind!r} does not probe what view.kind "
        f"{view.kind!r} gives",
    )
    known = ProbeConfig().tasks + SequenceProbeConfig().tasks
    _require(
        len(set(probe.tasks)) == len(probe.tasks) > 0
        and set(probe.tasks) <= set(known),
        'probe.tasks must name "phone", "speaker" or both, each once, '
        f"received {list(probe.tasks)}",
    )


def _check_heldout(training: TrainingConfig) -> None:
    _require(
        not training.heldout_every
        or training.heldout_examples >= training.batch_size,
        "training.heldout_examples must make a batch of training.batch_size, "
        f"{training.batch_size}, received {training.heldout_examples}",
    )
    _require(
        not training.patience or training.heldout_every > 0,
        "training.patience counts evaluations of held-out examples; set "
        "training.heldout_every, the steps between them",
    )
    _require(
        training.schedule != "decoupled" or not training.heldout_every,
        "training.schedule 'decoupled' has no step that all modules share, at "
        "which training.heldout_every could look at them; set it to 0",
    )
    _require(
        not training.jit_compile or training.strategy == "none",
        "training.jit_compile compiles for one device; training.strategy must "
        f"be 'none', received {training.strategy!r}",
    )
    _require(
        training.schedule != "decoupled" or training.strategy != "multiworker",
        "training.schedule 'decoupled' has a process for some of the modules, "
        "where 'multiworker' has all modules in each; training.strategy must "
        "be 'none', or 'mirrored' over the devices of each process",
    )
    _require(
        training.schedule == "decoupled"
        or training.decoupled_mode == "ordered",
        "training.decoupled_mode is for training.schedule 'decoupled', "
        f"received {training.schedule!r}",
    )


def _check_view(experiment: Experiment) -> None:
    view, encoder = experiment.view, experiment.stack.encoder
    if isinstance(view, PatchViewConfig):
        _check_patches(view)
    else:
        _check_window(view, experiment.data)
    fitting = {
        PatchViewConfig: (ResNetConfig, Conv2DConfig),
        WindowViewConfig: (Conv1DConfig,),
    }
    _require(
        isinstance(encoder, fitting[type(view)]),
        f"stack.encoder.kind {encoder.kind!r} does not read what view.kind "
        f"{view.kind!r} gives",
    )


def _check_patches(view: PatchViewConfig) -> None:
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


def _check_window(view: WindowViewConfig, data: DataConfig) -> None:
    _require(
        data.sample_rate in (None, view.sample_rate),
        "data.sample_rate and view.sample_rate must be equal, received "
        f"{data.sample_rate} and {view.sample_rate}",
    )
    _require(
        (view.mean is None) == (view.std is None),
        "view.mean and view.std must both be given, or both be left to ingest",
    )
    _require(
        data.min_samples is None or data.min_samples >= view.length,
        "data.min_samples must be at least view.length, received "
        f"{data.min_samples} and {view.length}",
    )


def _check_stack(experiment: Experiment) -> None:
    stack = experiment.stack
    _check_lengths(stack.encoder)
    blocks = stack.encoder.num_blocks
    _require(
        sum(stack.module_sizes) == blocks,
        f"stack.module_sizes must sum to the {blocks} blocks "
        f"of the encoder (stem included), received {stack.module_sizes}",
    )
    _require(
        all(
            size > 0 or (index > 0 and stack.has_autoregressor(index))
            for index, size in enumerate(stack.module_sizes)
        ),
        "a module of stack.module_sizes may have 0 blocks only where it has "
        "an autoregressor and a module below it, received "
        f"{list(stack.module_sizes)}",
    )
    _check_objective(experiment)
    steps = experiment.view.time_steps
    left = stack.encoder.time_steps(steps, blocks)
    _require(
        left >= 1,
        "nothing is left after the last block of stack.encoder, "
        f"{left} time steps of {steps}; give larger views or fewer blocks",
    )


def _check_objective(experiment: Experiment) -> None:
    objective = experiment.stack.objective
    _require(
        not objective.needs_labels
        or experiment.data.pretrain_split != "unlabelled",
        "a supervised objective needs a labelled data.pretrain_split, received "
        "'unlabelled'",
    )
    if isinstance(objective, InfoNCEConfig):
        _check_reach(experiment, objective)
        return
    _require(
        objective.kind == "supervised" or experiment.training.batch_size > 1,
        f"stack.objective.kind {objective.kind!r} compares examples with each "
        "other; training.batch_size must be >= 2, received 1",
    )
    _require(
        not isinstance(objective, PredSimConfig)
        or objective.similarity_weight < 1.0,
        "stack.objective.similarity_weight must be below 1",
    )


def _check_probed_sizes(experiment: Experiment) -> None:
    """The parts that are probed are the same blocks, cut elsewhere."""
    stack, sizes = experiment.stack, experiment.probe.module_sizes
    if not sizes or sizes == stack.module_sizes:
        return
    blocks = stack.encoder.num_blocks
    _require(
        sum(sizes) == blocks,
        f"probe.module_sizes must sum to the {blocks} blocks of the encoder "
        f"(stem included), or be [], the modules; received {list(sizes)}",
    )
    inner = stack.num_modules > 1 and stack.autoregressor_at == "every"
    _require(
        stack.autoregressor is None or not inner,
        "probe.module_sizes cannot divide a stack with an autoregressor in "
        "every module; leave it out",
    )
    # z alone would stand there twice.
    alone = stack.autoregressor and stack.representation == "context"
    _require(
        all(sizes[:-1]) and bool(sizes[-1] or alone),
        "a part of probe.module_sizes may have 0 blocks only at the end, and "
        "where stack.representation is the context of an autoregressor, "
        f"received {list(sizes)}",
    )


def _check_frames(experiment: Experiment) -> None:
    """Labels need a frame of the last module each."""
    view, encoder = experiment.view, experiment.stack.encoder
    learns = experiment.stack.learns_frames
    if not isinstance(view, WindowViewConfig) or not isinstance(
        encoder, Conv1DConfig
    ):
        _require(
            not learns,
            "stack.objective.labels_of 'frame' is of recordings; expected "
            f"'example' for views of kind {view.kind!r}",
        )
        return
    if not learns and "phone" not in experiment.probe.tasks:
        return
    hop = encoder.hop(encoder.num_blocks)
    what = "stack.objective.labels_of 'frame'" if learns else "task 'phone'"
    _require(
        (view.sample_rate, hop) == (LABEL_RATE, LABEL_HOP),
        f"{what} needs a frame every {LABEL_HOP} samples at "
        f"{LABEL_RATE} Hz, where labels are; stack.encoder.strides and "
        f"view.sample_rate give one every {hop} at {view.sample_rate} Hz. "
        "Change them, or leave the task out, probe.tasks=['speaker']",
    )


def _check_lengths(encoder: ResNetConfig | Conv1DConfig | Conv2DConfig) -> None:
    names: tuple[str, ...] = ("channels", "kernel_sizes", "strides", "paddings")
    if isinstance(encoder, ResNetConfig):
        names = ("planes", "depths")
    elif isinstance(encoder, Conv2DConfig):
        names = (*names, "pool_sizes", "pool_strides")
    lengths = [len(getattr(encoder, name)) for name in names]
    _require(
        len(set(lengths)) == 1,
        f"stack.encoder.{', '.join(names[:-1])} and {names[-1]} need the same "
        f"length, received {', '.join(map(str, lengths))}",
    )


def _check_reach(experiment: Experiment, objective: InfoNCEConfig) -> None:
    """Every module needs more time steps than it predicts ahead."""
    stack = experiment.stack
    reach = objective.prediction_steps + objective.skip_steps
    window = math.inf if objective.window is None else objective.window
    blocks = 0
    for index, size in enumerate(stack.module_sizes, 1):
        blocks += size
        steps = stack.encoder.time_steps(experiment.view.time_steps, blocks)
        _require(
            reach < min(steps, window),
            "stack.objective.prediction_steps + skip_steps must be smaller "
            f"than the {min(steps, window)} grid rows of module {index}, "
            f"received {reach}",
        )


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message + ".")
