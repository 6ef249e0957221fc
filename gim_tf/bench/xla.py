"""`gim bench xla`: a step as TensorFlow runs it, and as XLA compiles it."""

import dataclasses
from collections.abc import Callable
from typing import Any

from gim_tf.bench.own_process import measure_apart
from gim_tf.bench.stepper import Plan
from gim_tf.config import Experiment


def measure(
    experiment: Experiment,
    *,
    steps: int,
    threads: int,
    report: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Runs the same step twice, each in a process of its own.

    Args:
      experiment: whose step; its training.jit_compile is set here.
      steps: that are timed, after the warm-up.
      threads: see `gim_tf.bench.machine.set_threads`.
      report: receives a line before each measurement.

    Returns:
      Ready for JSON: "rows", without XLA and with it, each what
      `gim_tf.bench.step.measure` returns, with "jit_compile" and
      "of_without", the ratio of the medians.

    Raises:
      BenchError: see `measure_apart`.
    """
    rows: list[dict[str, Any]] = []
    for jit_compile in (False, True):
        report(f"{experiment.name} {'with' if jit_compile else 'without'} XLA")
        training = dataclasses.replace(
            experiment.training, jit_compile=jit_compile
        )
        plan = Plan(
            experiment=dataclasses.replace(experiment, training=training)
        )
        row = measure_apart(plan, steps=steps, threads=threads)
        first = rows[0] if rows else row
        ratio = row["wall_s"]["median"] / first["wall_s"]["median"]
        rows.append({**row, "jit_compile": jit_compile, "of_without": ratio})
    return {"bench": "xla", "experiment": experiment.name, "rows": rows}
