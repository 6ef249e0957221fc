"""Which modules share a worker, and on how many devices, to be fastest."""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Division(NamedTuple):
    """Consecutive modules by worker.

    Attributes:
      sizes: modules of each worker.
      replicas: devices of each, which divide every batch.
      seconds: that a batch takes each.
    """

    sizes: tuple[int, ...]
    replicas: tuple[int, ...]
    seconds: tuple[float, ...]

    @property
    def speed_up(self) -> float:
        """Of these workers against one on one device: sum / max."""
        alone = (
            s * n for s, n in zip(self.seconds, self.replicas, strict=True)
        )
        return sum(alone) / max(self.seconds)


def divide(
    seconds: Sequence[float],
    num_workers: int,
    *,
    choices: Sequence[Sequence[int]] = (),
    devices: int | None = None,
) -> Division:
    """Divides modules so that the slowest worker is fastest.

        least possible max over workers of (sum of t) / replicas

    which takes replicas to divide the time of a batch evenly, and their
    all-reduce to cost nothing.

    Args:
      seconds: that a batch takes each module on one device, first to last.
      num_workers: from 1 to the number of modules.
      choices: numbers of replicas that each worker may have; none: 1.
      devices: of all workers together, at most; None: enough.

    Raises:
      ValueError: there are more workers than modules, or none, or too few
        devices.
    """
    options = choices or [(1,)] * num_workers
    if not 1 <= num_workers == len(options) <= len(seconds):
        raise ValueError(
            f"Expected 1 to {len(seconds)} workers, received {num_workers}."
        )
    *_, found = divisions(seconds, options, devices=devices)
    if found is None:
        raise ValueError(
            f"Expected a device a worker at least, of {num_workers} workers, "
            f"received {devices}."
        )
    return found


def divisions(
    seconds: Sequence[float],
    choices: Sequence[Sequence[int]],
    *,
    devices: int | None = None,
) -> Iterator[Division | None]:
    """The best division among the first worker, the first two, and so on.

    Exact: the best division of the first j modules on d devices ends with a
    group i .. j of n replicas after the best of the first i on d - n. Of
    several, that with the fewest devices.

    Args:
      seconds: see `divide`.
      choices: likewise, as many as there are workers at most.
      devices: likewise.

    Yields:
      For 1, 2, ... workers; None where there are too few devices.
    """
    count = len(seconds)
    sums = [0.0, *itertools.accumulate(seconds)]
    # best[j, d]: (slowest, (where each group ends, its replicas) ...).
    best: dict[tuple[int, int], _Best] = {(0, 0): (0.0, ())}
    for allowed in choices:
        found: dict[tuple[int, int], _Best] = {}
        for (start, used), (slowest, groups) in best.items():
            for end, replicas in itertools.product(
                range(start + 1, count + 1), allowed
            ):
                place = end, used + replicas
                if devices is not None and place[1] > devices:
                    continue
                own = (sums[end] - sums[start]) / replicas
                new = max(slowest, own), (*groups, (end, replicas))
                found[place] = min(found.get(place, new), new)
        best = found
        ends = [
            (slowest, used, groups)
            for (end, used), (slowest, groups) in best.items()
            if end == count
        ]
        yield _division(sums, min(ends)[2]) if ends else None


_Groups = tuple[tuple[int, int], ...]
_Best = tuple[float, _Groups]


def _division(sums: Sequence[float], groups: _Groups) -> Division:
    ends = (0, *(end for end, _ in groups))
    replicas = tuple(number for _, number in groups)
    pairs = list(itertools.pairwise(ends))
    return Division(
        sizes=tuple(end - start for start, end in pairs),
        replicas=replicas,
        seconds=tuple(
            (sums[end] - sums[start]) / number
            for (start, end), number in zip(pairs, replicas, strict=True)
        ),
    )
