"""Names of the networks on sequences: convolutions along time, GRU.

`fullmodel.{m}` is module m: encoder, autoregressor and loss, where it has
them.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import keras

from gim_tf.encoders import GRUContext, PaddedConv1D
from gim_tf.errors import WeightsError
from gim_tf.interop.entries import Array, Entry, bias, gated, viewed
from gim_tf.losses import InfoNCE, Objective
from gim_tf.module import GIMModule

BLOCKS = (PaddedConv1D,)


def sequence_entries(
    modules: Sequence[GIMModule],
    blocks: Sequence[Sequence[keras.layers.Layer]],
) -> Iterator[Entry]:
    """All arrays of a stack whose modules have these blocks.

    Raises:
      WeightsError: their code has no such network.
    """
    for index, (module, inside) in enumerate(zip(modules, blocks, strict=True)):
        prefix = f"fullmodel.{index}"
        for number, block in enumerate(inside):
            name = f"{prefix}.encoder.model.layer {number}.0"
            yield _kernel(f"{name}.weight", block.kernel)
            yield bias(f"{name}.bias", block.bias)
        if module.autoregressor is not None:
            name = f"{prefix}.autoregressor.gru"
            yield from _gru(name, module.autoregressor)
        yield _predictor(f"{prefix}.loss.predictor.weight", module.objective)


def _kernel(name: str, variable: keras.Variable) -> Entry:
    """[k, 1, in, out] -> [out, in, k]."""
    size, _, channels, filters = variable.shape
    return viewed(
        name,
        (filters, channels, size),
        variable,
        lambda ours: ours[:, 0].transpose(2, 1, 0),
    )


def _gru(prefix: str, context: Any) -> Iterator[Entry]:
    if not isinstance(context, GRUContext):
        raise WeightsError(
            "The authors' context network on sequences is a GRUContext, "
            f"received {type(context).__name__}."
        )
    cell = context.gru.cell
    # A GRU numbers its layers; the cell that they loop over by hand does not.
    whole = context.get_config()["backpropagate_through_time"]
    end = "_l0" if whole else ""
    for name, kernel in (("ih", cell.kernel), ("hh", cell.recurrent_kernel)):
        channels, columns = kernel.shape
        yield gated(
            f"{prefix}.weight_{name}{end}",
            (columns, channels),
            kernel,
            lambda ours: ours.reshape(len(ours), 3, -1).transpose(1, 2, 0),
        )
    for row, name in enumerate(("ih", "hh")):
        yield gated(
            f"{prefix}.bias_{name}{end}",
            (cell.bias.shape[1],),
            cell.bias,
            functools.partial(_gates_of_row, row),
        )


def _gates_of_row(row: int, ours: Array) -> Array:
    return ours[row].reshape(3, -1)


def _predictor(name: str, objective: Objective) -> Entry:
    """[K, c, d] -> [K d, c], the steps one below the other."""
    if not isinstance(objective, InfoNCE):
        raise WeightsError(
            "The objective on sequences whose names are known is InfoNCE, "
            f"received {type(objective).__name__}."
        )
    steps, context, channels = objective.w_k.shape
    return viewed(
        name,
        (steps * channels, context),
        objective.w_k,
        lambda ours: ours.transpose(0, 2, 1),
    )
