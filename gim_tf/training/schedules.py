"""Which modules train when.

A schedule is a list of phases; a phase trains a fixed set of modules for a
number of steps. One phase is one traced step function.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple


class Phase(NamedTuple):
    """Consecutive steps that train the same modules.

    Attributes:
      num_steps: length.
      trained: one bool a module, first to last.
    """

    num_steps: int
    trained: tuple[bool, ...]


def phases(schedule: str, num_modules: int, num_steps: int) -> list[Phase]:
    """The phases in which every module gets `num_steps` updates.

    Args:
      schedule: "simultaneous": one phase, all modules; "decoupled": likewise,
        but each worker counts for itself; "sequential": one phase a module,
        the ones below frozen (paper, section 4.1.2); "last": one phase, of
        the last module.
      num_modules: M.
      num_steps: updates of each module.

    Raises:
      ValueError: unknown schedule.
    """
    if schedule in ("simultaneous", "decoupled"):
        return [Phase(num_steps, (True,) * num_modules)]
    if schedule == "sequential":
        return [
            Phase(num_steps, tuple(i == m for i in range(num_modules)))
            for m in range(num_modules)
        ]
    if schedule == "last":
        below = (False,) * (num_modules - 1)
        return [Phase(num_steps, (*below, True))]
    raise ValueError(
        "schedule must be 'simultaneous', 'sequential', 'last' or "
        f"'decoupled', received {schedule!r}."
    )


def with_stops(
    schedule: Sequence[Phase], stopped_at: Sequence[int]
) -> list[Phase]:
    """The phases that are left of a schedule when modules stop early.

    A module trains in no step after its stop; a phase ends when all of its
    modules have stopped, and the next begins.

    Args:
      schedule: as planned.
      stopped_at: a module, the steps after which it stopped; 0: it has not.
    """
    left: list[Phase] = []
    begin = 0
    for phase in schedule:
        planned = begin + phase.num_steps
        cuts = sorted({s for s in stopped_at if begin < s < planned})
        for start, end in itertools.pairwise((begin, *cuts, planned)):
            trained = tuple(
                is_trained and not 0 < stop <= start
                for is_trained, stop in zip(
                    phase.trained, stopped_at, strict=True
                )
            )
            if any(trained):
                left.append(Phase(end - start, trained))
                begin = end
    return left


def phase_ends(schedule: Sequence[Phase]) -> list[int]:
    """Steps done at the end of each phase."""
    return list(itertools.accumulate(phase.num_steps for phase in schedule))


def total_steps(schedule: Sequence[Phase]) -> int:
    """Steps of all phases."""
    return sum(phase.num_steps for phase in schedule)


def trained_at(schedule: Sequence[Phase], step: int) -> tuple[bool, ...]:
    """The modules that step number `step` (from 0) trains."""
    for phase in schedule:
        if step < phase.num_steps:
            return phase.trained
        step -= phase.num_steps
    raise ValueError(f"The schedule ends {step + 1} steps before that step.")
