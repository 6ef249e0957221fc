"""The parts of a module as an experiment names them: one branch a kind.

A composition root for `gim_tf.build`, which puts the parts together: what is
made here takes keyword arguments, and reads no configuration.
"""

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from gim_tf.config import (
    Conv1DConfig,
    Conv2DConfig,
    DeepInfoMaxConfig,
    Experiment,
    GRUConfig,
    InfoNCEConfig,
    MaskedConvConfig,
    PatchViewConfig,
    PredSimConfig,
    ResNetConfig,
    StackConfig,
    SupervisedConfig,
)
from gim_tf.encoders import (
    GRUContext,
    MaskedConvContext,
    conv1d_blocks,
    conv2d_blocks,
    resnet_blocks,
)
from gim_tf.errors import ConfigError
from gim_tf.losses import (
    DeepInfoMax,
    InfoNCE,
    Objective,
    PredSim,
    Supervised,
    SupervisedFrames,
)
from gim_tf.losses.negatives import NegativeSampler
from gim_tf.module import Chain
from gim_tf.shapes import BatchApply

Encoder = ResNetConfig | Conv1DConfig | Conv2DConfig


def encoder_blocks(
    experiment: Experiment, seed: int
) -> list[keras.layers.Layer]:
    """All blocks of the encoder, first to last, untrained."""
    encoder, view = experiment.stack.encoder, experiment.view
    if isinstance(encoder, ResNetConfig) and isinstance(view, PatchViewConfig):
        return resnet_blocks(
            in_channels=view.channels,
            block=encoder.block,
            stem_channels=encoder.stem_channels,
            planes=encoder.planes,
            depths=encoder.depths,
            expansion=encoder.expansion,
            stem_strides=encoder.stem_strides,
            seed=seed,
        )
    if isinstance(encoder, Conv2DConfig) and isinstance(view, PatchViewConfig):
        return conv2d_blocks(
            in_channels=view.channels * view.patch_size**2,
            channels=encoder.widths,
            kernel_sizes=encoder.kernel_sizes,
            strides=encoder.strides,
            paddings=encoder.paddings,
            pool_sizes=encoder.pool_sizes,
            pool_strides=encoder.pool_strides,
            seed=seed,
        )
    if isinstance(encoder, Conv1DConfig):
        return conv1d_blocks(
            in_channels=1,
            channels=encoder.channels,
            kernel_sizes=encoder.kernel_sizes,
            strides=encoder.strides,
            paddings=encoder.paddings,
            seed=seed,
        )
    raise ConfigError(
        f"No encoder of kind {encoder.kind!r} for views of {view.kind!r}."
    )


def encoder(
    config: Encoder, blocks: list[keras.layers.Layer]
) -> keras.layers.Layer:
    """The blocks of one module, on whole grids."""
    if isinstance(config, ResNetConfig):
        return BatchApply(Chain(blocks, name="chain"), name="encoder")
    return Chain(blocks, name="encoder")


def autoregressor(
    config: StackConfig,
    blocks: Sequence[keras.layers.Layer],
    index: int,
    seed: int,
) -> keras.layers.Layer | None:
    """The context network of a module, whose z the last block makes."""
    if not config.has_autoregressor(index):
        return None
    chosen = config.autoregressor
    channels = blocks[-1].compute_output_shape((None,) * 4)[-1]
    if isinstance(chosen, GRUConfig):
        return GRUContext(
            channels,
            chosen.units,
            backpropagate_through_time=chosen.backpropagate_through_time,
            seed=seed,
            name="autoregressor",
        )
    if isinstance(chosen, MaskedConvConfig):
        return MaskedConvContext(
            channels,
            num_layers=chosen.num_layers,
            seed=seed,
            name="autoregressor",
        )
    raise ConfigError(f"No autoregressor of kind {chosen!r}.")


def objective(
    experiment: Experiment,
    seed: int,
    sampler: Callable[[int], NegativeSampler] | None,
) -> Objective:
    """The local objective of one module; `sampler` as in `build_stack`."""
    config = experiment.stack.objective
    if isinstance(config, InfoNCEConfig):
        return InfoNCE(
            prediction_steps=config.prediction_steps,
            num_negatives=config.num_negatives,
            skip_steps=config.skip_steps,
            negatives=(
                sampler(config.num_negatives) if sampler else config.negatives
            ),
            window=config.window,
            fan_in=config.fan_in,
            log_offset=config.log_offset,
            seed=seed,
            name="info_nce",
        )
    if isinstance(config, DeepInfoMaxConfig):
        return DeepInfoMax(
            batch_size=_examples_at_once(experiment),
            mi_units=config.mi_units,
            seed=seed,
            name="deep_infomax",
        )
    if isinstance(config, SupervisedConfig):
        of_frames = experiment.stack.learns_frames
        kind = SupervisedFrames if of_frames else Supervised
        classes = _frame_classes if of_frames else _num_classes
        return kind(
            num_classes=classes(experiment), seed=seed, name="supervised"
        )
    if isinstance(config, PredSimConfig):
        return PredSim(
            num_classes=_num_classes(experiment),
            batch_size=_examples_at_once(experiment),
            similarity_weight=config.similarity_weight,
            similarity_of=config.similarity_of,
            seed=seed,
            name="predsim",
        )
    raise ConfigError(f"No objective of kind {config.kind!r}.")


def _examples_at_once(experiment: Experiment) -> int:
    """Examples that are compared with each other: a replica's part."""
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    return experiment.training.batch_size // replicas


def _num_classes(experiment: Experiment) -> int:
    if not experiment.data.class_names:
        raise ConfigError(
            "A supervised objective needs data.class_names, which are not "
            "known before ingest; complete the experiment with what it "
            "found, or set them."
        )
    return len(experiment.data.class_names)


def _frame_classes(experiment: Experiment) -> int:
    if not experiment.data.frame_names:
        raise ConfigError(
            "An objective of frames needs data.frame_names, which are not "
            "known before ingest, or the data have none; complete the "
            "experiment with what ingest found, or choose labels_of=example."
        )
    return len(experiment.data.frame_names)
