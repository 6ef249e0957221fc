"""`gim bench depth`: memory and seconds of a step by the number of modules.

A made stack: after a stem, equal modules of one basic block and one InfoNCE
each, on the views of a small experiment. With freed tapes the memory beyond
the parameters should not depend on their number, and the seconds should grow
in proportion to it.
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
      batch_size: examples a step.
      steps: that are timed of each.
      threads: see `gim_tf.bench.machine.set_threads`.
      report: receives a line before each begins.

    Returns:
      "rows": "modules", "variant" ("freed", "summed" or "end_to_end": one
      module of all blocks), "wall_s", "parameters", "peak_mib_above_import",
      "activations_mib" (the peak less 12 bytes a parameter: the traced graph,
      which grows with the modules, is in it), "kept_mib". "a_module", by
      variant: the slopes of lines through seconds, peaks and kept MiB.

    Raises:
      ConfigError: a number below 1.
      BenchError: one did not end well.
    """
    rows = []
    for count in modules:
        for variant, plan in plans(count, batch_size).items():
            report(f"{count} modules, {variant}")
            found = measure_apart(plan, steps=steps, threads=threads)
            rows.append(_row(count, variant, found))
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


def _row(count: int, variant: str, found: dict[str, Any]) -> dict[str, Any]:
    parameters = found["parameters"]
    peak = found["peak_mib_above_import"]
    return {
        "modules": count,
        "variant": variant,
        "wall_s": found["wall_s"],
        "parameters": parameters,
        "peak_mib_above_import": peak,
        "activations_mib": peak - parameters * _BYTES_A_PARAMETER / _MIB,
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
            "kept_mib": [row["kept_mib"] for row in own],
        }
        slopes[variant] = {
            key: float(np.polyfit(counts, column, 1)[0])
            for key, column in values.items()
        }
    return slopes
