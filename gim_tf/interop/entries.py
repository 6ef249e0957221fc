"""One array of the authors' state_dict, and where it lies in our variables.

Theirs are [out, in, ...] (PyTorch), ours [..., in, out] (Keras).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np

Array = np.ndarray
View = Callable[[Array], Array]
"""From our array to a view of it: their elements, in their order."""

# Keras has the gates of a GRU as z, r, h, PyTorch as r, z, n (n is h): to
# exchange the first two goes either way.
_GATES = [1, 0, 2]


class Entry(NamedTuple):
    """One array of theirs.

    Attributes:
      name: in their state_dict.
      shape: of theirs.
      variable: of ours that holds it, alone or with others; None: their code
        never uses it, or it is a constant.
      extract: our array -> theirs, a copy.
      insert: (our array, theirs) -> None; writes theirs into ours.
      hidden: elements of theirs under a mask, which ours does not hold.
      constant: what it must be, where it is no parameter.
    """

    name: str
    shape: tuple[int, ...]
    variable: keras.Variable | None
    extract: Callable[[Array], Array]
    insert: Callable[[Array, Array], None]
    hidden: int = 0
    constant: Array | None = None

    @property
    def size(self) -> int:
        """Elements of theirs."""
        return math.prod(self.shape)

    def visible(self) -> Array:
        """1 where an element of theirs is in ours, 0 where it is not."""
        if self.variable is None:
            return np.zeros(self.shape, np.float32)
        return self.extract(np.ones(self.variable.shape, np.float32))


def viewed(
    name: str, shape: tuple[int, ...], variable: keras.Variable, view: View
) -> Entry:
    """An array that is a view of ours, up to a reshape."""

    def insert(ours: Array, theirs: Array) -> None:
        target = view(ours)
        target[...] = theirs.reshape(target.shape)

    return Entry(
        name,
        shape,
        variable,
        extract=lambda ours: view(ours).reshape(shape).copy(),
        insert=insert,
    )


def gated(
    name: str, shape: tuple[int, ...], variable: keras.Variable, view: View
) -> Entry:
    """Of a GRU: `view` has the gates first, [3, ...], in Keras' order."""

    def insert(ours: Array, theirs: Array) -> None:
        target = view(ours)
        target[...] = theirs.reshape(target.shape)[_GATES]

    return Entry(
        name,
        shape,
        variable,
        extract=lambda ours: view(ours)[_GATES].reshape(shape),
        insert=insert,
    )


def masked(
    name: str, shape: tuple[int, ...], variable: keras.Variable, view: View
) -> Entry:
    """A convolution [out, in, h, w] of whose rows ours holds the upper ones.

    The others are zeros in what is extracted, and dropped on insertion.
    """
    rows = variable.shape[0]

    def extract(ours: Array) -> Array:
        theirs = np.zeros(shape, ours.dtype)
        theirs[:, :, :rows] = view(ours)
        return theirs

    def insert(ours: Array, theirs: Array) -> None:
        view(ours)[...] = theirs[:, :, :rows]

    hidden = math.prod(shape) - math.prod(variable.shape)
    return Entry(name, shape, variable, extract, insert, hidden)


def unused(name: str, shape: tuple[int, ...]) -> Entry:
    """A parameter that their code registers and never uses; zeros for us."""
    return Entry(name, shape, None, _nothing, _ignore)


def mask(name: str, shape: tuple[int, ...], rows: int) -> Entry:
    """The constant that is 1 in the first rows of a convolution, 0 below."""
    column = (np.arange(shape[2]) < rows).astype(np.float32)[:, None]
    constant = np.broadcast_to(column, shape)
    return Entry(name, shape, None, _nothing, _ignore, constant=constant)


def bias(name: str, variable: keras.Variable) -> Entry:
    """A vector, the same on both sides."""
    return viewed(name, tuple(variable.shape), variable, lambda ours: ours)


def convolution(name: str, variable: keras.Variable) -> Entry:
    """[h, w, in, out] -> [out, in, h, w]."""
    height, width, channels, filters = variable.shape
    return viewed(
        name,
        (filters, channels, height, width),
        variable,
        lambda ours: ours.transpose(3, 2, 0, 1),
    )


def _nothing(ours: Array) -> Array:
    raise ValueError("No variable of ours holds this array.")


def _ignore(ours: Array, theirs: Array) -> None:
    """Nothing of theirs goes anywhere."""
