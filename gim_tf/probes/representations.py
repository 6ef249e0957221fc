"""Frozen representations of a data set, computed once for all probes."""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from gim_tf.errors import DataError
from gim_tf.shapes import pool_grid

EncodeGrid = Callable[[tf.Tensor], Mapping[str, tf.Tensor]]
"""Examples [b, ...] -> {"module_1": [b, t, s, d], ...}: a stack, or the `grid`
signature of a loaded SavedModel."""

Watch = Callable[[int, Mapping[str, tf.Tensor]], None]
"""(number of the batch's first example, its grids): sees all in passing."""


class Representations(NamedTuple):
    """Features and labels of one split.

    Attributes:
      pooled: name -> [n, d] float32, the mean over the grid; by depth.
      grid: name -> [n, t s d] float32, unpooled; empty if not asked for.
      labels: [n] int64.
    """

    pooled: dict[str, np.ndarray]
    grid: dict[str, np.ndarray]
    labels: np.ndarray


def collect(
    encode: EncodeGrid,
    batches: Iterable[tuple[tf.Tensor, tf.Tensor]],
    *,
    with_grid: bool,
    watch: Watch | None = None,
) -> Representations:
    """Encodes every labelled example; those with label -1 are left out.

    Args:
      encode: frozen.
      batches: (examples [b, ...], labels [b] int64).
      with_grid: keep the unpooled grid too; needs t s times the memory.
      watch: called on each batch that is encoded; None: nobody looks.

    Raises:
      DataError: no labelled example.
    """
    pooled: dict[str, list[np.ndarray]] = {}
    grid: dict[str, list[np.ndarray]] = {}
    labels: list[np.ndarray] = []
    end = 0
    for examples, batch_labels in batches:
        known = batch_labels.numpy() >= 0
        first, end = end, end + len(known)
        if not known.any():
            continue
        labels.append(batch_labels.numpy()[known])
        grids = encode(examples)
        if watch is not None:
            watch(first, grids)
        for name, value in grids.items():
            pooled.setdefault(name, []).append(pool_grid(value).numpy()[known])
            if with_grid:
                flat = tf.reshape(value, (value.shape[0], -1)).numpy()
                grid.setdefault(name, []).append(flat[known])
    if not labels:
        raise DataError("The probe's split has no labelled example.")
    return Representations(
        pooled=_concatenated(pooled),
        grid=_concatenated(grid),
        labels=np.concatenate(labels),
    )


def _concatenated(parts: dict[str, list[np.ndarray]]) -> dict[str, np.ndarray]:
    # A signature returns its outputs in no order: "module_2" is before
    # "module_10" because it is shorter.
    names = sorted(parts, key=lambda name: (len(name), name))
    return {name: np.concatenate(parts.pop(name)) for name in names}
