"""What excites single neurons most: a top-k over any number of examples.

The figure of Löwe et al. (2019) that shows, for neurons of modules 1 to 3, the
four patches that excite each most. A *neuron* is a channel of a module's
representation.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gim_tf.errors import ConfigError, DataError
from gim_tf.inspection.curves import module_names, module_number


class Hit(NamedTuple):
    """One position that excites a neuron.

    Attributes:
      activation: of the neuron there.
      example: number of the example, counted from 0.
      row: of the grid, or the frame of a sequence.
      column: of the grid; 0 of a sequence.
    """

    activation: float
    example: int
    row: int
    column: int


class Neuron(NamedTuple):
    """One neuron and where it is excited most.

    Attributes:
      module: such as "module_3".
      channel: its number, from 0.
      mean: of its activation over all positions.
      deviation: of its activation over all positions.
      hits: the largest activations first; of equal ones the earlier position.
    """

    module: str
    channel: int
    mean: float
    deviation: float
    hits: Sequence[Hit]


class TopActivations:
    """The k largest activations of every neuron of a module, and moments.

    Exactly what a sort of all activations would give, where of equal ones the
    earlier position (example, row, column) comes first; holds k positions and
    two moments a neuron, however many examples there are.

    Args:
      k: positions that are held of each neuron.
      one_per_example: of each example only its first largest activation
        counts, so that one example does not take all places.

    Raises:
      ConfigError: k is below 1.
    """

    def __init__(self, k: int, *, one_per_example: bool = True) -> None:
        if k < 1:
            raise ConfigError(f"k must be at least 1, received {k}.")
        self.k = k
        self.one_per_example = one_per_example
        self._count = 0
        self._seen = -1  # number of the last example
        self._mean = self._squares = np.zeros(0)
        # [at most k, d], best first; positions are (example, row, column).
        self._values = np.zeros((0, 0), np.float32)
        self._positions = np.zeros((0, 0, 3), np.int64)

    def add(self, activations: np.ndarray, first: int) -> None:
        """Takes in a batch of examples, after those of smaller numbers.

        Args:
          activations: [b, t, s, d] float32; t may differ from batch to batch.
          first: number of the first example of the batch.

        Raises:
          DataError: another shape, examples out of order, or activations that
            are not finite.
        """
        self._check(activations, first)
        batch, time, lanes, width = activations.shape
        if not batch * time * lanes:
            return
        if not self._count:
            self._values = np.zeros((0, width), np.float32)
            self._positions = np.zeros((0, width, 3), np.int64)
            self._mean = self._squares = np.zeros(width)
        flat = activations.reshape(batch, time * lanes, width)
        self._add_moments(flat.reshape(-1, width))
        self._seen = first + batch - 1
        if self.one_per_example:
            cells = flat.argmax(1)
            values = np.take_along_axis(flat, cells[:, None], 1)[:, 0]
            order = _first_largest(values, self.k)
            examples, cells = order, np.take_along_axis(cells, order, 0)
        else:
            values = flat.reshape(-1, width)
            order = _first_largest(values, self.k)
            examples, cells = np.divmod(order, time * lanes)
        rows, columns = np.divmod(cells, lanes)
        self._merge(
            np.take_along_axis(values, order, 0),
            np.stack([examples + first, rows, columns], -1),
        )

    @property
    def width(self) -> int:
        """The number of neurons, d; 0 before the first batch."""
        return len(self._mean)

    @property
    def deviations(self) -> np.ndarray:
        """[d], the deviation of each neuron over all positions."""
        return np.sqrt(self._squares / max(self._count, 1))

    @property
    def num_held(self) -> int:
        """Numbers that are held now, in all arrays."""
        held = self._values, self._positions, self._mean, self._squares
        return sum(array.size for array in held)

    def neuron(self, module: str, channel: int) -> Neuron:
        """One neuron, by the number of its channel."""
        column = self._values[:, channel], self._positions[:, channel]
        return Neuron(
            module,
            channel,
            float(self._mean[channel]),
            float(self.deviations[channel]),
            [
                Hit(float(value), *map(int, position))
                for value, position in zip(*column, strict=True)
            ],
        )

    def _check(self, activations: np.ndarray, first: int) -> None:
        known = self.width or activations.shape[-1]
        if activations.ndim != 4 or activations.shape[-1] != known:
            raise DataError(
                f"Expected activations [b, t, s, {self.width or 'd'}], "
                f"received {list(activations.shape)}."
            )
        if first <= self._seen:
            raise DataError(
                f"Expected examples from number {self._seen + 1} on, received "
                f"number {first}."
            )

    def _add_moments(self, values: np.ndarray) -> None:
        """Mean and squared distances of two parts, by Chan et al. (1979)."""
        count = self._count + len(values)
        mean = values.mean(0, dtype=np.float64)
        if not np.isfinite(mean).all():
            raise DataError("Activations are not finite.")
        squares = values.var(0, dtype=np.float64) * len(values)
        apart = mean - self._mean
        share = len(values) / count
        self._squares = self._squares + squares + apart**2 * self._count * share
        self._mean = self._mean + apart * share
        self._count = count

    def _merge(self, values: np.ndarray, positions: np.ndarray) -> None:
        """Keeps the k largest of what is held and what is new, [n, d] each."""
        values = np.concatenate([self._values, values])
        positions = np.concatenate([self._positions, positions])
        # What is held is earlier: a stable sort leaves it in front.
        order = np.argsort(-values, axis=0, kind="stable")[: self.k]
        self._values = np.take_along_axis(values, order, 0)
        self._positions = np.take_along_axis(positions, order[..., None], 0)


class Watch:
    """`TopActivations` of every module, to be called on each batch.

    Args:
      k: see `TopActivations`.
      one_per_example: see there.
    """

    def __init__(self, k: int, *, one_per_example: bool = True) -> None:
        self.k = k
        self.one_per_example = one_per_example
        self.modules: dict[str, TopActivations] = {}

    def __call__(self, first: int, grids: Mapping[str, Any]) -> None:
        """Takes in one batch.

        Args:
          first: number of its first example.
          grids: by module, [b, t, s, d] or [b, t, d] float32.
        """
        for name, grid in grids.items():
            if name not in self.modules:
                self.modules[name] = TopActivations(
                    self.k, one_per_example=self.one_per_example
                )
            values = np.asarray(grid)
            lanes = values[:, :, None] if values.ndim == 3 else values
            self.modules[name].add(lanes, first)

    def neurons(
        self, per_module: int, indices: Sequence[int] = ()
    ) -> list[Neuron]:
        """The neurons to be shown, by depth.

        Those of largest deviation over all positions: they tell most inputs
        apart, and no one picked them by eye. Next to each other often stand
        several that answer to the same; so one is passed over while half or
        more of its k examples are shown already in its module, as long as
        there are others.

        Args:
          per_module: how many of each module.
          indices: channels that are shown of every module instead, in this
            order; those that a module does not have are left out.

        Raises:
          ConfigError: there is no neuron to show.
        """
        found = [
            self.modules[name].neuron(name, index)
            for name in module_names(self.modules)
            for index in (
                [i for i in indices if 0 <= i < self.modules[name].width]
                if len(indices)
                else most_varied(self.modules[name], per_module)
            )
        ]
        if not found:
            widths = [top.width for top in self.modules.values()]
            raise ConfigError(
                f"No neuron to show: the modules have {widths} neurons, asked "
                f"for {list(indices) or per_module}."
            )
        return found


def most_varied(top: TopActivations, count: int) -> list[int]:
    """Channels by falling deviation, without those that repeat others.

    See `Watch.neurons`; of equal deviations the smaller number first.
    """
    order = np.argsort(-top.deviations, kind="stable").tolist()
    chosen: list[int] = []
    repeats: list[int] = []
    shown: set[int] = set()
    for index in order:
        if len(chosen) == count:
            break
        examples = {hit.example for hit in top.neuron("", index).hits}
        if 2 * len(examples & shown) >= len(examples):
            repeats.append(index)
            continue
        chosen.append(index)
        shown |= examples
    return (chosen + repeats)[:count]


def as_dict(
    neuron: Neuron, places: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """One neuron, ready for JSON.

    Args:
      neuron: see there.
      places: what is known of each hit, such as its id.
    """
    return {
        "module": neuron.module,
        "neuron": neuron.channel,
        "mean": neuron.mean,
        "deviation": neuron.deviation,
        "hits": [
            {**place, **hit._asdict()}
            for place, hit in zip(places, neuron.hits, strict=True)
        ],
    }


def by_module(found: Sequence[Neuron]) -> dict[str, list[Neuron]]:
    """The neurons of each module, by depth."""
    names = sorted({neuron.module for neuron in found}, key=module_number)
    return {
        name: [neuron for neuron in found if neuron.module == name]
        for name in names
    }


def _first_largest(values: np.ndarray, k: int) -> np.ndarray:
    """Rows of the k largest of each column, of equal ones the first.

    k passes: cheaper than a sort, of whose order all but k would be dropped.

    Args:
      values: [n, d].
      k: at most n are returned.

    Returns:
      [min(k, n), d] int64.
    """
    left = values.copy()
    found = []
    for _ in range(min(k, len(left))):
        rows = left.argmax(0)
        found.append(rows)
        np.put_along_axis(left, rows[None], -np.inf, 0)
    return np.stack(found)
