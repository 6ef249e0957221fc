"""Names of the networks on patches: residual blocks, gated masked context.

`model.0.{m}` is the encoder of module m with its loss; with a context network,
`model.1` is that and its loss, and the loss under `model.0.0` is never used.
"""

import operator
from collections.abc import Iterator, Sequence
from typing import Any

import keras

from gim_tf.encoders import MaskedConvContext
from gim_tf.encoders.resnet import PaddedConv2D, PreActivationBlock
from gim_tf.errors import WeightsError
from gim_tf.interop.entries import (
    Entry,
    bias,
    convolution,
    mask,
    masked,
    unused,
    viewed,
)
from gim_tf.losses import InfoNCE, Objective, Supervised
from gim_tf.module import GIMModule

BLOCKS = (PaddedConv2D, PreActivationBlock)
ALIASES = {"model.0.": "encoder.", "model.1.": "autoregressor."}
"""Their model registers the same arrays twice, under these prefixes."""

_VERTICAL_SIDE = 3


def patch_entries(
    modules: Sequence[GIMModule],
    blocks: Sequence[Sequence[keras.layers.Layer]],
) -> Iterator[Entry]:
    """All arrays of a stack whose modules have these blocks.

    Raises:
      WeightsError: their code has no such network.
    """
    for index, (module, inside) in enumerate(zip(modules, blocks, strict=True)):
        prefix = f"model.0.{index}"
        yield from _encoder(f"{prefix}.model", inside, first=index == 0)
        if module.autoregressor is None:
            yield from _objective(f"{prefix}.loss", module.objective)
        elif len(modules) > 1:
            raise WeightsError(
                "The authors' networks on patches have a context network only "
                f"where there is one module, received {len(modules)} modules."
            )
        else:
            yield from _unused_loss(f"{prefix}.loss", module.objective)
            yield from _context("model.1", module.autoregressor)
            yield from _objective("model.1.loss", module.objective)


def _encoder(
    prefix: str, blocks: Sequence[keras.layers.Layer], *, first: bool
) -> Iterator[Entry]:
    stage, position = -1, 0
    for index, block in enumerate(blocks):
        if isinstance(block, PaddedConv2D):
            if not first or index:
                raise WeightsError(
                    "The authors' networks on patches have one stem, at the "
                    f"start; received another one, {block.name!r}."
                )
            yield from _conv(f"{prefix}.Conv1", block)
            continue
        if stage < 0 or block.get_config()["strides"] != 1:
            stage, position = stage + 1, 0
        yield from _block(f"{prefix}.layer {stage}.{position}", block)
        position += 1


def _block(prefix: str, block: PreActivationBlock) -> Iterator[Entry]:
    for number, layer in enumerate(block.convolutions, 1):
        yield from _conv(f"{prefix}.conv{number}", layer)
    if block.shortcut is not None:
        yield from _conv(f"{prefix}.shortcut.0", block.shortcut)


def _context(prefix: str, context: keras.layers.Layer) -> Iterator[Entry]:
    if not isinstance(context, MaskedConvContext):
        raise WeightsError(
            "The authors' context network on patches is a MaskedConvContext, "
            f"received {type(context).__name__}."
        )
    *_, last = context.blocks
    for index, block in enumerate(context.blocks):
        name = f"{prefix}.stack.layers.{index}"
        yield from _vertical(f"{name}.vertical_conv", block.vertical)
        yield from _conv(f"{name}.v_to_h_conv", block.vertical_to_horizontal)
        yield from _conv(f"{name}.horizontal_conv", block.horizontal)
        yield _mask_of(f"{name}.horizontal_conv.mask", block.horizontal)
        if block.vertical_residual is not None:
            name_of_residual = f"{name}.residual_vertical"
            yield from _conv(name_of_residual, block.vertical_residual)
        elif index and block is last:
            yield from _unused_residual(f"{name}.residual_vertical", block)
        yield from _conv(f"{name}.horizontal_output", block.output_conv)
    yield from _conv(f"{prefix}.stack_out", context.output_conv)


def _conv(prefix: str, layer: Any) -> Iterator[Entry]:
    yield convolution(f"{prefix}.weight", layer.kernel)
    yield bias(f"{prefix}.bias", layer.bias)


def _vertical(prefix: str, layer: Any) -> Iterator[Entry]:
    """Theirs is square, and masked below the row of the output."""
    rows, width, channels, filters = layer.kernel.shape
    shape = (filters, channels, _VERTICAL_SIDE, width)
    yield masked(
        f"{prefix}.weight",
        shape,
        layer.kernel,
        lambda ours: ours.transpose(3, 2, 0, 1),
    )
    yield bias(f"{prefix}.bias", layer.bias)
    yield mask(f"{prefix}.mask", shape, rows)


def _mask_of(name: str, layer: Any) -> Entry:
    """A mask that hides nothing."""
    height, width, channels, filters = layer.kernel.shape
    return mask(name, (filters, channels, height, width), height)


def _unused_residual(prefix: str, block: Any) -> Iterator[Entry]:
    _, _, channels, filters = block.vertical.kernel.shape
    yield unused(f"{prefix}.weight", (filters, channels, 1, 1))
    yield unused(f"{prefix}.bias", (filters,))


def _unused_loss(prefix: str, objective: Objective) -> Iterator[Entry]:
    for k, entry in enumerate(_objective(prefix, objective)):
        channels = entry.shape[1]  # of z, which would be its own context
        yield unused(f"{prefix}.W_k.{k}.weight", (channels, channels, 1, 1))


def _objective(prefix: str, objective: Objective) -> Iterator[Entry]:
    if isinstance(objective, InfoNCE):
        steps, context, channels = objective.w_k.shape
        for k in range(steps):
            yield viewed(
                f"{prefix}.W_k.{k}.weight",
                (context, channels, 1, 1),
                objective.w_k,
                operator.itemgetter(k),
            )
    elif isinstance(objective, Supervised):
        channels, classes = objective.kernel.shape
        yield viewed(
            f"{prefix}.linear_classifier.0.weight",
            (classes, channels),
            objective.kernel,
            lambda ours: ours.T,
        )
        yield bias(f"{prefix}.linear_classifier.0.bias", objective.bias)
    else:
        raise WeightsError(
            "The authors' objectives on patches are InfoNCE and Supervised, "
            f"received {type(objective).__name__}."
        )
