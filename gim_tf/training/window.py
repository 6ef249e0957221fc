"""Means of a step's metrics since the last log line, also over a restart."""

import logging
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

_LOG = logging.getLogger(__name__)
_STEPS, _SUMS = "steps", "sums"


class Window:
    """Metrics of the steps since the last log line.

    Sums are float64, so that a run that was stopped between two lines and
    went on logs what an undisturbed one does, digit by digit; its speed is
    that of the steps since it went on.

    Args:
      batch_size: examples a step.
      state: `state()` of the run that this one continues, or {}; one that is
        damaged is passed over with a warning.
    """

    def __init__(self, batch_size: int, state: Mapping[str, Any]) -> None:
        self._batch_size = batch_size
        self.restart()
        try:
            for name, found in state.items():
                self._counts[name] = int(found[_STEPS])
                self._sums[name] = {
                    key: np.asarray(value, np.float64)
                    for key, value in found[_SUMS].items()
                }
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            _LOG.warning(
                "The next log line has only the steps from here on: what was "
                "saved of those before is damaged (%r).",
                error,
            )
            self.restart()

    def restart(self) -> None:
        """Forgets all: a line was logged."""
        self._started = time.monotonic()
        self._waited = 0.0
        self._steps = 0
        self._newest: Mapping[str, Any] = {}
        self._counts: dict[str, int] = {}
        self._sums: dict[str, dict[str, np.ndarray]] = {}

    def add(
        self, metrics: Mapping[str, Mapping[str, np.ndarray]], waited: float
    ) -> None:
        """Adds a step's metrics, and the seconds that it waited for data."""
        self._steps += 1
        self._waited += waited
        self._newest = metrics
        for name, values in metrics.items():
            sums = self._sums.setdefault(name, {})
            for key, value in values.items():
                sums[key] = sums.get(key, 0.0) + np.asarray(value, np.float64)
            self._counts[name] = self._counts.get(name, 0) + 1

    def state(self) -> dict[str, Any]:
        """All that the next line's means need, as plain JSON values."""
        return {
            name: {
                _STEPS: self._counts[name],
                _SUMS: {key: value.tolist() for key, value in sums.items()},
            }
            for name, sums in self._sums.items()
        }

    def means(self) -> dict[str, dict[str, Any]]:
        """Means over the steps, of the modules that the newest one trained."""
        return {
            name: {
                key: (value / self._counts[name]).tolist()
                for key, value in self._sums[name].items()
            }
            for name in self._newest
        }

    def seconds(self) -> float:
        """Since the last line, or since the run went on."""
        return time.monotonic() - self._started

    def examples_per_second(self) -> float:
        """Likewise."""
        return self._steps * self._batch_size / self.seconds()

    def data_wait(self) -> float:
        """Share of that time in which there was no batch to train on."""
        return self._waited / self.seconds()
