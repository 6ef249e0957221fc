"""A stack, one batch, and what a training step of them is."""

import dataclasses
import functools
import math
from typing import Any, Literal

import tensorflow as tf

from gim_tf import build
from gim_tf.bench.inputs import first_batch
from gim_tf.bench.summed import summed_step
from gim_tf.config import Experiment
from gim_tf.errors import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What a step is.

    Attributes:
      experiment: its training.batch_size, training.schedule and data.path
        count. "sequential": a step is one update of each module, in a phase
        of its own.
      loss: "per-module": `GIMTrainer.compiled_step`, a tape a module; "summed":
        one tape over all modules.
      module: the only one that is trained, from 1; None: all.
    """

    experiment: Experiment
    loss: Literal["per-module", "summed"] = "per-module"
    module: int | None = None


class Stepper:
    """Trains on one batch, step by step.

    Args:
      plan: decides everything.

    Attributes:
      stack: untrained at first.

    Raises:
      ConfigError: the plan asks for what does not go together.
    """

    def __init__(self, plan: Plan) -> None:
        _check(plan)
        if plan.experiment.training.deterministic:
            tf.config.experimental.enable_op_determinism()
        experiment, batch = first_batch(plan.experiment)
        self.stack = build.build_training_stack(experiment)
        trainer = build.build_trainer(experiment, self.stack)
        self._calls: list[tuple[Any, tuple[Any, ...]]]
        if plan.loss == "summed":
            summed = tf.function(
                functools.partial(summed_step, trainer), autograph=False
            )
            self._calls = [(summed, batch)]
        else:
            self._calls = [
                (trainer.compiled_step, (*batch, trained))
                for trained in _trained(plan)
            ]

    @property
    def parameters(self) -> int:
        """Trainable parameters of all modules."""
        return sum(math.prod(v.shape) for v in self.stack.trainable_variables)

    def step(self) -> None:
        """One step; its losses are on the host when it returns."""
        for function, arguments in self._calls:
            for value in tf.nest.flatten(function(*arguments)):
                value.numpy()

    def graphs(self) -> list[tf.Graph]:
        """The traced functions that a step runs, one after the other."""
        return [
            function.get_concrete_function(*arguments).graph
            for function, arguments in self._calls
        ]


def _trained(plan: Plan) -> list[tuple[bool, ...]]:
    """The modules that each call of a step trains."""
    if plan.module is None:
        return [phase.trained for phase in build.build_phases(plan.experiment)]
    modules = range(1, plan.experiment.stack.num_modules + 1)
    return [tuple(module == plan.module for module in modules)]


def _check(plan: Plan) -> None:
    modules = plan.experiment.stack.num_modules
    if plan.module is not None and not 1 <= plan.module <= modules:
        raise ConfigError(
            f"--module must be 1 to {modules}, the modules of "
            f"{plan.experiment.name}, received {plan.module}."
        )
    if plan.loss == "summed" and (
        plan.module is not None
        or plan.experiment.training.schedule != "simultaneous"
    ):
        raise ConfigError(
            "--loss summed trains all modules at once; leave --module and "
            "--schedule out."
        )
