"""Composition root: an experiment becomes layers, batches and optimizers.

The only reader of `gim_tf.config` besides the leaves: everything it builds
takes keyword arguments.
"""

from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from gim_tf import initializers
from gim_tf.config import (
    Experiment,
    InfoNCEConfig,
    ResNetConfig,
    SupervisedConfig,
)
from gim_tf.data import patches, views
from gim_tf.data.input_pipeline import (
    Decode,
    TrainingData,
    training_batches,
)
from gim_tf.encoders import resnet_blocks
from gim_tf.errors import ConfigError
from gim_tf.losses import InfoNCE, Objective, Supervised
from gim_tf.module import Chain, GIMModule
from gim_tf.shapes import BatchApply
from gim_tf.stack import GIMStack, partition
from gim_tf.training.schedules import Phase, phases
from gim_tf.training.trainer import GIMTrainer


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


def build_stack(experiment: Experiment) -> GIMStack:
    """The built, untrained stack; its weights are a function of the seed."""
    seeds = initializers.seeds(experiment.training.seed)
    encoder_seed, objective_seeds = next(seeds), seeds
    blocks = _blocks(experiment, encoder_seed)
    modules = [
        GIMModule(
            BatchApply(Chain(group, name="chain"), name="encoder"),
            _objective(experiment, next(objective_seeds)),
            name=f"module_{index}",
        )
        for index, group in enumerate(
            partition(blocks, experiment.stack.module_sizes), 1
        )
    ]
    stack = GIMStack(modules, name="stack")
    _build_variables(stack, build_preprocess(experiment))
    return stack


def build_preprocess(experiment: Experiment) -> Preprocess:
    """Decoding, evaluation view and grid of an experiment."""
    view = experiment.view

    def to_grid(examples: tf.Tensor) -> tf.Tensor:
        return patches.to_patches(
            views.evaluation_view(examples, view),
            size=view.patch_size,
            stride=view.patch_stride,
        )

    return Preprocess(
        decode=lambda encoded: views.decode_batch(encoded, view),
        to_grid=to_grid,
        example_shape=(view.size, view.size, view.channels),
    )


def build_decode_one(experiment: Experiment) -> Decode:
    """Decoding of one record's bytes, for `tf.data`."""
    return lambda encoded: views.decode(encoded, experiment.view)


def build_training_data(
    experiment: Experiment, files: Sequence[str], num_examples: int
) -> TrainingData:
    """The stream of training batches.

    Raises:
      ConfigError: the split has fewer examples than one batch.
    """
    training, view = experiment.training, experiment.view
    if num_examples < training.batch_size:
        raise ConfigError(
            f"training.batch_size is {training.batch_size}, but split "
            f"{experiment.data.pretrain_split!r} has {num_examples} examples; "
            "lower training.batch_size."
        )
    return TrainingData(
        files=tuple(files),
        num_examples=num_examples,
        batch_size=training.batch_size,
        decode=build_decode_one(experiment),
        view=lambda example, seed: views.training_view(example, seed, view),
        to_grid=lambda batch: patches.to_patches(
            batch, size=view.patch_size, stride=view.patch_stride
        ),
        seed=training.seed,
        shuffle_buffer=training.shuffle_buffer,
    )


def sample_views(
    experiment: Experiment, data: TrainingData
) -> tuple[np.ndarray, np.ndarray]:
    """The first batch's views and their grids, as uint8, to be looked at.

    Returns:
      [b, *view] and [b, t, s, *local, c].
    """
    view = experiment.view
    grids = next(training_batches(data, 0)).x
    shown = views.denormalise(grids, view).numpy()
    return patches.from_patches(shown, stride=view.patch_stride), shown


def build_trainer(experiment: Experiment, stack: GIMStack) -> GIMTrainer:
    """One Adam a module, built before any step is traced."""
    training = experiment.training
    optimizers = [
        keras.optimizers.Adam(
            training.learning_rate, epsilon=training.epsilon, name=name
        )
        for name in stack.module_names
    ]
    return GIMTrainer(stack, optimizers)


def build_phases(experiment: Experiment) -> list[Phase]:
    """The schedule of an experiment."""
    training = experiment.training
    return phases(
        training.schedule, experiment.stack.num_modules, training.num_steps
    )


def _blocks(experiment: Experiment, seed: int) -> list[keras.layers.Layer]:
    encoder = experiment.stack.encoder
    if isinstance(encoder, ResNetConfig):
        return resnet_blocks(
            in_channels=experiment.view.channels,
            block=encoder.block,
            stem_channels=encoder.stem_channels,
            planes=encoder.planes,
            depths=encoder.depths,
            expansion=encoder.expansion,
            stem_strides=encoder.stem_strides,
            seed=seed,
        )
    raise ConfigError(f"No encoder of kind {encoder.kind!r}.")


def _objective(experiment: Experiment, seed: int) -> Objective:
    config = experiment.stack.objective
    if isinstance(config, InfoNCEConfig):
        return InfoNCE(
            prediction_steps=config.prediction_steps,
            num_negatives=config.num_negatives,
            skip_steps=config.skip_steps,
            negatives=config.negatives,
            seed=seed,
            name="info_nce",
        )
    if isinstance(config, SupervisedConfig):
        return Supervised(
            num_classes=len(experiment.data.class_names),
            seed=seed,
            name="supervised",
        )
    raise ConfigError(f"No objective of kind {config.kind!r}.")


def _build_variables(stack: GIMStack, preprocess: Preprocess) -> None:
    """Creates all variables by one pass over a single blank example."""
    x = preprocess.to_grid(tf.zeros((1, *preprocess.example_shape)))
    labels = tf.zeros((1,), tf.int64)
    for module in stack.gim_modules:
        x = module(x, labels).z
    stack.built = True
