"""Every array that a golden case holds, beside ours in the same layout."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from gim_tf.fidelity.comparisons import (
    AFTER,
    COUNT,
    FROZEN,
    GRADIENT,
    LOSS,
    OUTPUT,
    SUMS,
    checksum,
)
from gim_tf.fidelity.replay import Replay
from gim_tf.interop import parameter_count

# Excerpts of large maps hold these patches and the first channels.
_PATCHES = (0, 10, 50, 97)
_LAYERS = "out/forward_through_n_layers/"


class Measured(NamedTuple):
    """One array of ours and the golden.

    Attributes:
      quantity: what kind of array it is.
      name: the golden's.
      ours: as much of it as the golden holds; or its checksum.
      golden: the same shape as ours, if all is well.
      size: elements of the whole array, of which ours may be a part.
    """

    quantity: str
    name: str
    ours: np.ndarray
    golden: np.ndarray
    size: int


def measure(replay: Replay) -> Iterator[Measured]:
    """Computes the case; the stack is trained when the iterator ends.

    Raises:
      KeyError: the case lacks an array that its network needs.
    """
    initial = replay.weights()
    count = parameter_count(replay.stack).authors
    nparam = replay.case.entry["nparam"]
    yield Measured(COUNT, "nparam", np.array(count), np.array(nparam), 1)
    for name, weights in initial.items():
        yield from _checksum(replay, f"weights_csum/{name}", OUTPUT, weights)
    yield from _outputs(replay)
    yield from _gradients(replay)
    for step, losses in enumerate(replay.train()):
        name = f"loss/step{step}"
        golden = replay.case.arrays[name]
        yield Measured(LOSS, name, losses, golden, losses.size)
    if replay.case.is_whole:
        yield from _weights(replay, initial)


def _outputs(replay: Replay) -> Iterator[Measured]:
    for index, (z, pooled, context) in enumerate(replay.forward()):
        module = f"module{index}"
        outputs = {
            f"out/{module}/z": _flat_patches(z),
            f"out/{module}/h": pooled.transpose(0, 3, 1, 2),
            f"out/{module}/c": context[:, :, 0],
            "out/cpc/c": context.transpose(0, 3, 1, 2),
        }
        for name, ours in outputs.items():
            yield from _output(replay, name, ours)
            sums = name.replace("out/", "out_csum/", 1)
            yield from _checksum(replay, sums, OUTPUT, ours)
    if f"{_LAYERS}0" in replay.case.arrays:
        for index, ours in enumerate(replay.layers()):
            yield from _output(replay, f"{_LAYERS}{index}", ours[:, :, 0])


def _output(replay: Replay, name: str, ours: np.ndarray) -> Iterator[Measured]:
    if name in replay.case.arrays:
        golden = replay.case.arrays[name]
        excerpt = _excerpt(ours, golden)
        yield Measured(OUTPUT, name, excerpt, golden, ours.size)


def _gradients(replay: Replay) -> Iterator[Measured]:
    for name, gradient in replay.gradients().items():
        golden = replay.case.arrays[f"grad/{name}"]
        visible = _visible(replay, name)
        yield Measured(
            GRADIENT,
            f"grad/{name}",
            _head(gradient, golden),
            golden * _head(visible, golden),
            gradient.size,
        )
        if visible.all():
            sums = f"grad_csum/{name}"
            yield from _checksum(replay, sums, GRADIENT, gradient)


def _weights(
    replay: Replay, initial: dict[str, np.ndarray]
) -> Iterator[Measured]:
    """After the last step; what has no gradient there must not have moved."""
    arrays = replay.case.arrays
    for name, ours in replay.weights().items():
        if f"grad_none/{name}" in arrays:
            yield Measured(FROZEN, name, ours, initial[name], ours.size)
            continue
        golden = arrays[f"after3/{name}"]
        visible = _visible(replay, name)
        yield Measured(
            AFTER,
            f"after3/{name}",
            _head(ours, golden),
            golden * _head(visible, golden),
            ours.size,
        )
        if visible.all():
            yield from _checksum(replay, f"after3_csum/{name}", AFTER, ours)


def _checksum(
    replay: Replay, name: str, quantity: str, ours: np.ndarray
) -> Iterator[Measured]:
    if name in replay.case.arrays:
        golden = replay.case.arrays[name]
        sums = checksum(ours)
        yield Measured(quantity + SUMS, name, sums, golden, ours.size)


def _visible(replay: Replay, name: str) -> np.ndarray:
    """1 where an array of theirs is not masked away, in their layout."""
    return replay.entries[name].visible()


def _head(ours: np.ndarray, golden: np.ndarray) -> np.ndarray:
    """As much of ours as the golden holds: all, or the first elements."""
    if ours.shape == golden.shape or golden.ndim != 1:
        return ours
    return ours.ravel()[: golden.size]


def _flat_patches(z: np.ndarray) -> np.ndarray:
    """[b, t, s, h, w, d] -> [b t s, d, h, w]; [b, t, 1, d] -> [b, t, d]."""
    if z.ndim == 4:
        return z[:, :, 0]
    return z.reshape(-1, *z.shape[3:]).transpose(0, 3, 1, 2)


def _excerpt(ours: np.ndarray, golden: np.ndarray) -> np.ndarray:
    """The part of a map that the golden holds."""
    if ours.shape == golden.shape:
        return ours
    if ours.ndim == 4:
        patches = [index for index in _PATCHES if index < len(ours)]
        return ours[patches][:, : golden.shape[1]]
    return ours[:, : golden.shape[1]]
