"""Composition root: an experiment becomes layers, batches and optimizers.

The only reader of `gim_tf.config` besides `gim_tf.parts` and the leaves:
everything it builds takes keyword arguments.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from gim_tf import initializers, parts
from gim_tf.config import (
    Conv1DConfig,
    Experiment,
    PatchViewConfig,
    WindowViewConfig,
)
from gim_tf.data import views, windows
from gim_tf.data.heldout import hash_bound
from gim_tf.data.input_pipeline import (
    Decode,
    FrameLabels,
    TrainingData,
    held_out_batches,
    seen_batches,
)
from gim_tf.errors import ConfigError
from gim_tf.losses.negatives import NegativeSampler
from gim_tf.module import GIMModule
from gim_tf.shapes import pool_time
from gim_tf.stack import GIMStack, partition
from gim_tf.training.adam import Adam
from gim_tf.training.heldout import HeldOut
from gim_tf.training.precision import loss_scaled
from gim_tf.training.schedules import Phase, phases
from gim_tf.training.stopping import EarlyStopping
from gim_tf.training.trainer import GIMTrainer

EncodeFrames = Callable[[tf.Tensor], dict[str, tf.Tensor]]


class Preprocess(NamedTuple):
    """From encoded bytes to the stack's input, as evaluation and serving do.

    Attributes:
      decode: [b] strings -> [b, *example] float32.
      to_grid: [b, *example] float32 -> [b, t, s, *local, c] float32.
      example_shape: shape of one decoded example.
    """

    decode: Decode
    to_grid: Decode
    example_shape: tuple[int, ...]


def build_stack(
    experiment: Experiment,
    sampler: Callable[[int], NegativeSampler] | None = None,
    *,
    precision: str = "float32",
) -> GIMStack:
    """The built, untrained stack; its weights are a function of the seed.

    Args:
      experiment: decides everything.
      sampler: makes the source of negatives of each objective, from their
        number; None: what the experiment names.
      precision: Keras' name of the dtype policy of all but the objectives,
        whose sums and logarithms are float32 always.
    """
    with _layers_of(precision):
        modules = _modules(experiment, sampler)
        stack = GIMStack(modules, name="stack")
    _build_variables(stack, experiment)
    return stack


def build_preprocess(experiment: Experiment) -> Preprocess:
    """Decoding, evaluation view and grid of an experiment."""
    view, kind = _normalised(experiment), _views(experiment)
    return Preprocess(
        decode=lambda encoded: kind.decode_batch(encoded, view),
        to_grid=lambda examples: kind.to_grid(
            kind.evaluation_view(examples, view), view
        ),
        example_shape=kind.example_shape(view),
    )


def build_to_grid(experiment: Experiment) -> Decode:
    """From views [b, *view], already normalised, to the stack's input."""
    kind = _views(experiment)
    return lambda batch: kind.to_grid(batch, experiment.view)


def view_shape(experiment: Experiment) -> tuple[int, ...]:
    """Shape of one view, as `build_to_grid` takes it."""
    return _views(experiment).view_shape(experiment.view)


def build_decode_one(experiment: Experiment) -> Decode:
    """Decoding of one record's bytes, for `tf.data`."""
    kind = _views(experiment)
    return lambda encoded: kind.decode(encoded, experiment.view)


def frame_grid(experiment: Experiment) -> tuple[int, float]:
    """(hop, first): frame j of `build_frames` is at sample first + j hop."""
    encoder = _along_time(experiment)
    return encoder.hop(encoder.num_blocks), encoder.centre(encoder.num_blocks)


def frame_groups(experiment: Experiment) -> list[tuple[int, int]]:
    """(ratio, shift) of each module: what `build_frames` averages to a frame.

    See `gim_tf.shapes.pool_time`.
    """
    encoder = _along_time(experiment)
    hop, centre = frame_grid(experiment)

    def group(blocks: int) -> tuple[int, int]:
        ratio = hop // encoder.hop(blocks)
        first = (centre - encoder.centre(blocks)) / encoder.hop(blocks)
        return ratio, round((ratio - 1) / 2 - first)

    depths = itertools.accumulate(experiment.probed_sizes)
    return [group(blocks) for blocks in depths]


def build_frames(experiment: Experiment, stack: GIMStack) -> EncodeFrames:
    """Representations of sequences at one common rate, that of the last module.

    The modules are those of `experiment.probed_sizes`, which the stack has.

    Frames of modules with a higher rate are averaged: the group of a common
    frame is that which lies evenly around it. A module's frame stands in the
    middle of what its convolutions read, whatever context is behind it.

    Returns:
      The stack's input [b, n, 1, 1] -> {"module_1": [b, t, d_1], ...}.
    """
    groups = frame_groups(experiment)

    def frames(x: tf.Tensor) -> dict[str, tf.Tensor]:
        grids = stack.grids(x)
        steps = tf.shape(grids[stack.module_names[-1]])[1]
        return {
            name: tf.squeeze(
                pool_time(grids[name], ratio=ratio, shift=shift, steps=steps), 2
            )
            for name, (ratio, shift) in zip(
                stack.module_names, groups, strict=True
            )
        }

    return frames


def build_training_data(
    experiment: Experiment, files: Sequence[str], num_examples: int
) -> TrainingData:
    """The stream of training batches, without what is held out.

    Raises:
      ConfigError: the split has fewer examples than one batch.
    """
    training, view = experiment.training, _normalised(experiment)
    kind = _views(experiment)
    left_out = training.heldout_examples if training.heldout_every else 0
    if num_examples - left_out < training.batch_size:
        without = " and training.heldout_examples" if left_out else ""
        raise ConfigError(
            f"training.batch_size is {training.batch_size}, but split "
            f"{experiment.data.pretrain_split!r} has {num_examples} examples"
            f"{f', {left_out} of them held out' if left_out else ''}; "
            f"lower training.batch_size{without}."
        )
    return TrainingData(
        files=tuple(files),
        num_examples=num_examples - left_out,
        batch_size=training.batch_size,
        decode=build_decode_one(experiment),
        view=lambda example, seed: kind.training_view(example, seed, view),
        to_grid=build_to_grid(experiment),
        seed=training.seed,
        shuffle_buffer=training.shuffle_buffer,
        left_out=hash_bound(files, left_out) if left_out else 0,
        frame_labels=_frame_labels(experiment),
    )


def label_shape(experiment: Experiment) -> tuple[int, ...]:
    """Shape of one example's label as the objectives take it: () or (l,)."""
    if not experiment.stack.learns_frames:
        return ()
    encoder = _along_time(experiment)
    return (encoder.time_steps(view_shape(experiment)[0], encoder.num_blocks),)


def build_heldout(
    experiment: Experiment, stack: GIMStack, data: TrainingData
) -> HeldOut | None:
    """What measures on the examples that `data` leaves out, if any."""
    training = experiment.training
    if not training.heldout_every:
        return None
    held_out = held_out_batches(data)
    return HeldOut(
        stack,
        held_out,
        seen_batches(data, len(held_out)),
        every=training.heldout_every,
        seed=training.seed,
    )


def build_stopping(
    experiment: Experiment, stack: GIMStack
) -> EarlyStopping | None:
    """What stops modules early, if anything does."""
    training = experiment.training
    if not training.patience:
        return None
    return EarlyStopping(
        stack, patience=training.patience, min_delta=training.min_delta
    )


def build_trainer(
    experiment: Experiment,
    stack: GIMStack,
    strategy: tf.distribute.Strategy | None = None,
) -> GIMTrainer:
    """One Adam a module, built before any step is traced."""
    training = experiment.training
    optimizers: list[keras.optimizers.Optimizer] = [
        Adam(training.learning_rate, epsilon=training.epsilon, name=name)
        for name in stack.module_names
    ]
    if training.precision == "mixed_float16":
        optimizers = [loss_scaled(optimizer) for optimizer in optimizers]
    return GIMTrainer(
        stack, optimizers, strategy, jit_compile=training.jit_compile
    )


def build_phases(experiment: Experiment) -> list[Phase]:
    """The schedule of an experiment."""
    training = experiment.training
    return phases(
        training.schedule, experiment.stack.num_modules, training.num_steps
    )


def _frame_labels(experiment: Experiment) -> FrameLabels | None:
    """What finds the labels of the frames of a view, if these are learnt."""
    if not experiment.stack.learns_frames:
        return None
    kind, view = _views(experiment), experiment.view
    hop, first = frame_grid(experiment)
    centres = first + hop * np.arange(*label_shape(experiment))
    return lambda example, labels, seed: kind.training_labels(
        example, labels, seed, view, centres=centres
    )


def _normalised(experiment: Experiment) -> PatchViewConfig | WindowViewConfig:
    """The view, once it is known what to normalise with."""
    if experiment.view.mean is None or experiment.view.std is None:
        raise ConfigError(
            "view.mean and view.std are not known before ingest; complete the "
            "experiment with what it found, or set both."
        )
    return experiment.view


def _along_time(experiment: Experiment) -> Conv1DConfig:
    encoder = experiment.stack.encoder
    if not isinstance(encoder, Conv1DConfig):
        raise ConfigError(
            f"An encoder of kind {encoder.kind!r} has no frames, expected "
            "convolutions along time."
        )
    return encoder


def _views(experiment: Experiment) -> ModuleType:
    """The functions of the experiment's kind of view."""
    kinds = {PatchViewConfig: views, WindowViewConfig: windows}
    return kinds[type(experiment.view)]


@contextlib.contextmanager
def _layers_of(precision: str) -> Iterator[None]:
    """Layers made inside have this dtype policy, unless they are given one."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _modules(
    experiment: Experiment, sampler: Callable[[int], NegativeSampler] | None
) -> list[GIMModule]:
    config = experiment.stack
    seeds = initializers.seeds(experiment.training.seed)
    blocks = parts.encoder_blocks(experiment, next(seeds))
    with _layers_of("float32"):
        objectives = [
            parts.objective(experiment, next(seeds), sampler)
            for _ in config.module_sizes
        ]
    modules = []
    for index, group in enumerate(partition(blocks, config.module_sizes)):
        end = sum(config.module_sizes[: index + 1])
        modules.append(
            GIMModule(
                parts.encoder(config.encoder, group),
                objectives[index],
                parts.autoregressor(config, blocks[:end], index, next(seeds)),
                representation=config.representation,
                recompute_groups=experiment.training.recompute_groups,
                name=f"module_{index + 1}",
            )
        )
    return modules


def _build_variables(stack: GIMStack, experiment: Experiment) -> None:
    """Creates all variables by one pass over a single blank view."""
    kind, view = _views(experiment), experiment.view
    x = kind.to_grid(tf.zeros((1, *kind.view_shape(view))), view)
    labels = tf.zeros((1, *label_shape(experiment)), tf.int64)
    for module in stack.gim_modules:
        x = module(x, labels).z
    stack.built = True
