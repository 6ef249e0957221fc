"""How long a worker waits for its neighbours, and what ends a wait."""

import time
from typing import NamedTuple

from gim_tf.errors import WorkerLostError
from gim_tf.training.interrupts import Interrupts, StopWaiting


class Patience(NamedTuple):
    """How long a worker waits for its neighbours.

    Attributes:
      interrupts: whose signals end a wait.
      seconds: without a sign of life, after which the neighbour is lost.
    """

    interrupts: Interrupts
    seconds: float


class Wait:
    """One wait for a neighbour.

    Args:
      patience: see there.
      who: is waited for, and for what; for the message.
    """

    def __init__(self, patience: Patience, who: str) -> None:
        self._patience = patience
        self._who = who
        self._sign: object = None
        self._since = time.monotonic()

    def check(self, sign: object = None) -> None:
        """Goes on waiting, unless it must not.

        Args:
          sign: of life: the time counts from its last change.

        Raises:
          StopWaiting: a signal came.
          WorkerLostError: it took too long.
        """
        if self._patience.interrupts.received is not None:
            raise StopWaiting
        now = time.monotonic()
        if sign != self._sign:
            self._sign, self._since = sign, now
        if now - self._since > self._patience.seconds:
            raise WorkerLostError(
                f"{self._who} gave no sign for {self._patience.seconds:g} s. "
                "This worker is saved; run all workers again to resume."
            )
