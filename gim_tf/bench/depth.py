"""`gim bench depth`: memory and seconds of a step by the number of modules.

A made stack: after a stem, equal modules of one basic block and one InfoNCE
each, on the views of a small experiment. With freed tapes the memory of
activations should not depend on their number, and the seconds should grow in
proportion to it.

The traced graph grows with the modules too, by more than their parameters, and
TensorFlow's allocator gives nothing back that could tell the two apart. So each
is run with a batch of one as well: what the rest of the batch adds to the peak
is activations, as neither graph nor parameters know the batch.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gim_tf import config, experiments
from gim_tf.bench import machine
from gim_tf.bench.own_process import measure_apart
from gim_tf.bench.stepper import Plan
from gim_tf.config import Experiment, ResNetConfig
from gim_tf.errors import ConfigError

_BASE = "fashion_mnist_gim"
_WIDTH = 32  # channels of every block
# A float32 parameter and Adam's two moments.
_BYTES_A_PARAMETER = 12
_MIB = 1024 * 1024


def measure(
    modules: Sequence[int],
    *,
    batch_size: int,
    steps: int,
    threads: int,
    report: Callable[[str], None],
) -> dict[str, Any]:
    """Measures every number of modules in three ways, one after the other.

    Args:
      modules: numbers of modules.
      batch_size: examples a step, 2 or more.
      steps: that are timed of each.
      threads: see `gim_tf.bench.machine.set_threads`.
      report: receives a line before each begins.

    Returns:
      "rows": "modules", "variant" ("freed", "summed" or "end_to_end": one
      module of all blocks), "wall_s", "parameters", "peak_mib_above_import",
      "beyond_parameters_mib" (the peak less 12 bytes a parameter),
      "activations_mib" (see above), "kept_mib". "a_module", by variant: what
      one more adds to "seconds", "peak_mib", "activations_mib" and "kept_mib",
      by least squares.

    Raises:
      ConfigError: a number of modules below 1, a batch below 2.
      BenchError: one did not end well.
    """
    rows = []
    for count in modules:
        for variant, plan in plans(count, batch_size).items():
            report(f"{count} modules, {variant}")
            found = measure_apart(plan, steps=steps, threads=threads)
            one = measure_apart(_of_one(plan), steps=1, threads=threads)
            rows.append(_row(count, variant, found, one))
    return {
        "bench": "depth",
        "batch_size": batch_size,
        "threads": threads or machine.cores(),
        "steps": steps,
        "rows": rows,
        "a_module": _slopes(rows) if len(set(modules)) > 1 else {},
        "machine": machine.describe(),
    }


def plans(modules: int, batch_size: int) -> dict[str, Plan]:
    """The three ways to train as many blocks."""
    if modules < 1:
        raise ConfigError(f"--modules must be 1 or more, received {modules}.")
    if batch_size < 2:
        raise ConfigError(
            f"--batch-size must be 2 or more, received {batch_size}: memory is "
            "compared with that of a batch of 1."
        )
    whole = _made((1 + modules,), modules, batch_size)
    divided = _made((2, *[1] * (modules - 1)), modules, batch_size)
    return {
        "freed": Plan(experiment=divided),
        "summed": Plan(experiment=divided, loss="summed"),
        "end_to_end": Plan(experiment=whole),
    }


def _made(
    module_sizes: tuple[int, ...], blocks: int, batch_size: int
) -> Experiment:
    base = experiments.get(_BASE)
    made = dataclasses.replace(
        base,
        name=f"{blocks}_blocks",
        stack=dataclasses.replace(
            base.stack,
            encoder=ResNetConfig(
                block="basic",
                stem_channels=_WIDTH,
                stem_strides=2,
                planes=(_WIDTH,),
                depths=(blocks,),
            ),
            module_sizes=module_sizes,
        ),
        training=dataclasses.replace(base.training, batch_size=batch_size),
    )
    config.validate(made)
    return made


def _of_one(plan: Plan) -> Plan:
    """The plan with a batch of one."""
    experiment = plan.experiment
    training = dataclasses.replace(experiment.training, batch_size=1)
    return dataclasses.replace(
        plan, experiment=dataclasses.replace(experiment, training=training)
    )


def _row(
    count: int, variant: str, found: dict[str, Any], one: dict[str, Any]
) -> dict[str, Any]:
    parameters, batch_size = found["parameters"], found["batch_size"]
    peak = found["peak_mib_above_import"]
    added = peak - one["peak_mib_above_import"]
    return {
        "modules": count,
        "variant": variant,
        "wall_s": found["wall_s"],
        "parameters": parameters,
        "peak_mib_above_import": peak,
        "beyond_parameters_mib": peak - parameters * _BYTES_A_PARAMETER / _MIB,
        "activations_mib": added * batch_size / (batch_size - 1),
        "kept_mib": found["kept_mib"],
    }


def _slopes(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Per variant, what one more module adds, by least squares."""
    slopes = {}
    for variant in dict.fromkeys(row["variant"] for row in rows):
        own = [row for row in rows if row["variant"] == variant]
        counts = [row["modules"] for row in own]
        values = {
            "seconds": [row["wall_s"]["median"] for row in own],
            "peak_mib": [row["peak_mib_above_import"] for row in own],
            "activations_mib": [row["activations_mib"] for row in own],
            "kept_mib": [row["kept_mib"] for row in own],
        }
        slopes[variant] = {
            key: float(np.polyfit(counts, column, 1)[0])
            for key, column in values.items()
        }
    return slopes
