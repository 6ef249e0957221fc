"""Which modules train when.

A schedule is a list of phases; a phase trains a fixed set of modules for a
number of steps. One phase is one traced step function.
"""

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
      schedule: "simultaneous": one phase, all modules; "sequential": one
        phase a module, the ones below frozen (paper, section 4.1.2).
      num_modules: M.
      num_steps: updates of each module.

    Raises:
      ValueError: unknown schedule.
    """
    if schedule == "simultaneous":
        return [Phase(num_steps, (True,) * num_modules)]
    if schedule == "sequential":
        return [
            Phase(num_steps, tuple(i == m for i in range(num_modules)))
            for m in range(num_modules)
        ]
    raise ValueError(
        f"schedule must be 'simultaneous' or 'sequential', "
        f"received {schedule!r}."
    )


def total_steps(schedule: list[Phase]) -> int:
    """Steps of all phases."""
    return sum(phase.num_steps for phase in schedule)


def trained_at(schedule: list[Phase], step: int) -> tuple[bool, ...]:
    """The modules that step number `step` (from 0) trains."""
    for phase in schedule:
        if step < phase.num_steps:
            return phase.trained
        step -= phase.num_steps
    raise ValueError(f"The schedule ends {step + 1} steps before that step.")
