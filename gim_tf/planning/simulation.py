"""Decoupled training as events: stages, links, and bounded queues.

A stage takes a batch from its queue, computes, and hands on; where the queue
behind it is full it holds the batch and waits (blocking after service). A link
is a stage of its own. Against the closed form, which knows no jitter.
"""

import heapq
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gim_tf.errors import ConfigError


class Simulated(NamedTuple):
    """What was seen.

    Attributes:
      seconds: until the last batch left the last stage.
      period: seconds between batches that leave, over the second half.
      filling: seconds until the first batch left.
      busy: share of the time that each stage computed.
      waiting: largest number of batches that waited before each stage.
    """

    seconds: float
    period: float
    filling: float
    busy: tuple[float, ...]
    waiting: tuple[int, ...]


def simulate(
    seconds: Sequence[float],
    *,
    batches: int,
    queue: int,
    jitter: float = 0.0,
    seed: int = 0,
) -> Simulated:
    """Runs batches through stages.

    Args:
      seconds: of each stage, for a batch.
      batches: that the source, which never makes one wait, has.
      queue: batches that may wait before each stage but the first.
      jitter: deviation of the logarithm of each time, normal; its mean stays.
        0: always the same.
      seed: of the jitter.

    Raises:
      ConfigError: no stages or time, fewer than 2 batches, no queue, or a
        negative jitter.
    """
    if jitter < 0:
        raise ConfigError(f"--jitter must be 0 or more, received {jitter}.")
    draws = np.random.default_rng(seed).standard_normal((batches, len(seconds)))
    factors = np.exp(jitter * draws - jitter**2 / 2)
    return run_line(factors * np.asarray(seconds, float), queue=queue)


def run_line(times: np.ndarray, *, queue: int) -> Simulated:
    """The same, of the seconds of each batch in each stage [batches, stages].

    Raises:
      ConfigError: see `simulate`.
    """
    if np.size(times) == 0 or times.min() <= 0 or len(times) < 2 or queue < 1:
        raise ConfigError(
            "A simulation needs stages of more than 0 s, 2 batches and a queue "
            f"of 1 or more, received {times.shape[1]} stages, {len(times)} "
            f"batches and {queue}."
        )
    return _Line(times, queue).run()


class _Line:
    """The state of a simulation between two events."""

    def __init__(self, times: np.ndarray, queue: int) -> None:
        batches, count = times.shape
        self._times = [iter(column) for column in times.T.tolist()]
        self._queue = queue
        self._waiting = [batches, *[0] * (count - 1)]
        self._most = [0] * count
        self._computing = [False] * count
        self._holding = [False] * count  # done, and the next queue is full
        self._busy = [0.0] * count
        self._left: list[float] = []
        self._events: list[tuple[float, int]] = []

    def run(self) -> Simulated:
        now = 0.0
        self._start(0, now)
        while self._events:
            now, stage = heapq.heappop(self._events)
            self._computing[stage] = False
            self._holding[stage] = True
            self._hand_on(stage, now)
        half = len(self._left) // 2
        period = (self._left[-1] - self._left[half - 1]) / (
            len(self._left) - half
        )
        return Simulated(
            seconds=now,
            period=period,
            filling=self._left[0],
            busy=tuple(busy / now for busy in self._busy),
            waiting=tuple(self._most),
        )

    def _start(self, stage: int, now: float) -> None:
        """Takes a batch if there is one and the stage is free."""
        if (
            not self._waiting[stage]
            or self._computing[stage]
            or self._holding[stage]
        ):
            return
        self._waiting[stage] -= 1
        self._computing[stage] = True
        lasting = next(self._times[stage])
        self._busy[stage] += lasting
        heapq.heappush(self._events, (now + lasting, stage))
        if stage:  # there is a place in the queue now
            self._hand_on(stage - 1, now)

    def _hand_on(self, stage: int, now: float) -> None:
        """Passes on what a stage holds, if there is a place for it."""
        if not self._holding[stage]:
            return
        following = stage + 1
        if following == len(self._times):
            self._left.append(now)
        elif self._waiting[following] < self._queue:
            self._waiting[following] += 1
            self._most[following] = max(
                self._most[following], self._waiting[following]
            )
        else:
            return
        self._holding[stage] = False
        if following < len(self._times):
            self._start(following, now)
        self._start(stage, now)
