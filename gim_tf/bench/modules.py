"""What each module costs by itself, as `gim plan` reads it."""

import math
import statistics
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from gim_tf import build
from gim_tf.bench import machine
from gim_tf.bench.inputs import first_batch
from gim_tf.bench.kept import kept_bytes
from gim_tf.bench.step import WARM_UP, timed
from gim_tf.config import Experiment
from gim_tf.errors import ConfigError
from gim_tf.stack import GIMStack
from gim_tf.training.trainer import GIMTrainer


def measure(
    experiment: Experiment, *, steps: int, threads: int
) -> dict[str, Any]:
    """Times every module on its own input, in this process.

    Args:
      experiment: its training.batch_size and data.path count.
      steps: that are timed, after the warm-up; the median is taken.
      threads: see `gim_tf.bench.machine.set_threads`.

    Returns:
      {"experiment", "batch_size", "threads", "modules": [{"name",
      "forward_s", "backward_s", "output_bytes", "kept_bytes",
      "parameter_bytes"}], "machine"}; of a batch. `backward_s` is a whole
      update less `forward_s`.

    Raises:
      ConfigError: no steps.
    """
    if steps < 1:
        raise ConfigError(f"--steps must be 1 or more, received {steps}.")
    threads = machine.set_threads(
        threads, in_turn=experiment.training.operations_in_turn
    )
    experiment, (x, labels) = first_batch(experiment)
    stack = build.build_training_stack(experiment)
    optimizers = build.build_trainer(experiment, stack).optimizers
    modules = []
    for name, module, optimizer in zip(
        stack.module_names, stack.gim_modules, optimizers, strict=True
    ):
        # By itself: a stack of this module alone, on what is handed to it.
        alone = GIMTrainer(GIMStack([module]), [optimizer])
        encode = tf.function(module.encode, autograph=False)
        arguments = (x, labels, (True,))
        step_s = _median(alone.compiled_step, arguments, steps)
        forward_s = min(_median(encode, (x,), steps), step_s)
        graph = alone.compiled_step.get_concrete_function(*arguments).graph
        z = encode(x)
        modules.append(
            {
                "name": name,
                "forward_s": forward_s,
                "backward_s": step_s - forward_s,
                "output_bytes": z.dtype.size * math.prod(z.shape),
                "kept_bytes": kept_bytes(graph, freed=True),
                "parameter_bytes": sum(
                    4 * math.prod(v.shape) for v in module.trainable_variables
                ),
            }
        )
        x = z
    return {
        "experiment": experiment.name,
        "batch_size": experiment.training.batch_size,
        "threads": threads,
        "modules": modules,
        "machine": machine.describe(),
    }


def _median(
    function: Callable[..., Any], arguments: tuple[Any, ...], steps: int
) -> float:
    """Seconds of a call whose results are on the host when it ends."""

    def finished() -> None:
        for value in tf.nest.flatten(function(*arguments)):
            value.numpy()

    for _ in range(WARM_UP):
        finished()
    return statistics.median(timed(finished)[0] for _ in range(steps))
