"""`gim bench step`: seconds, memory and operations of a training step."""

import json
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from gim_tf.bench import machine
from gim_tf.bench.flops import count_flops
from gim_tf.bench.gemm import gemm_gflops
from gim_tf.bench.kept import kept_bytes
from gim_tf.bench.stepper import Plan, Stepper
from gim_tf.errors import ConfigError

# The first traces, the second still allocates.
WARM_UP = 2
_MIB = 1024 * 1024


def measure(
    plan: Plan,
    *,
    steps: int,
    threads: int | None = 0,
    gemm: Callable[[], float] | None = gemm_gflops,
) -> dict[str, Any]:
    """Runs a plan in this process, which has built nothing before.

    Args:
      plan: what a step is.
      steps: that are timed, after the warm-up.
      threads: see `gim_tf.bench.machine.set_threads`.
      gemm: measures the machine's matrix product, after all else; None: it
        is not measured.

    Returns:
      What a step costs, ready for JSON: "until_warm_s" (seconds to build the
      network, trace, and compile where XLA does), "wall_s" and "cpu_s"
      (median, min and max over the steps), "examples_per_second" (by the
      median),
      "peak_mib_above_import" (largest resident set above that of the imported
      libraries: weights, Adam's moments, graphs and all), "kept_mib" (see
      `gim_tf.bench.kept`), "flops_per_step", "gemm_gflops", "gemm_fraction".
    """
    _at_least_one(steps)
    imported = machine.resident_mib()
    threads = machine.set_threads(
        threads, in_turn=plan.experiment.training.operations_in_turn
    )
    started = time.perf_counter()
    stepper = _warm(plan)
    until_warm = time.perf_counter() - started
    times = [timed(stepper.step) for _ in range(steps)]
    peak = machine.peak_mib() - imported
    wall, cpu = (_spread(column) for column in zip(*times, strict=True))
    experiment = plan.experiment
    graphs = stepper.graphs()
    flops = sum(count_flops(graph) for graph in graphs)
    freed = plan.loss == "per-module"
    kept = max(kept_bytes(graph, freed=freed) for graph in graphs)
    result: dict[str, Any] = {
        "bench": "step",
        "experiment": experiment.name,
        "loss": plan.loss,
        "schedule": experiment.training.schedule,
        "module": plan.module,
        "batch_size": experiment.training.batch_size,
        "threads": threads,
        "steps": steps,
        "parameters": stepper.parameters,
        "until_warm_s": until_warm,
        "wall_s": wall,
        "cpu_s": cpu,
        "examples_per_second": experiment.training.batch_size / wall["median"],
        "peak_mib_above_import": peak,
        "kept_mib": kept / _MIB,
        "flops_per_step": flops,
        "machine": machine.describe(),
    }
    if gemm is not None:
        result["gemm_gflops"] = gemm()
        rate = flops / wall["median"] / 1e9
        result["gemm_fraction"] = rate / result["gemm_gflops"]
    return result


def serve(
    plan: Plan,
    commands: Iterable[str],
    reply: Callable[[str], None],
    *,
    threads: int | None = 0,
) -> None:
    """Steps on request, so that a driver can alternate two programs.

    Replies {"ready": 1, "nparam", "rss_import", "hwm"} after the warm-up and,
    to each command "step N", {"ts": [[wall, cpu], ...], "hwm"}: seconds of
    each step, MiB of resident set after import and at its largest.

    Raises:
      ConfigError: another command.
    """
    imported = machine.resident_mib()
    machine.set_threads(
        threads, in_turn=plan.experiment.training.operations_in_turn
    )
    stepper = _warm(plan)
    ready = {
        "ready": 1,
        "nparam": stepper.parameters,
        "rss_import": imported,
        "hwm": machine.peak_mib(),
    }
    reply(json.dumps(ready))
    for command in commands:
        times = [timed(stepper.step) for _ in range(_steps(command))]
        reply(json.dumps({"ts": times, "hwm": machine.peak_mib()}))


def timed(step: Callable[[], None]) -> tuple[float, float]:
    """Wall and processor seconds of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    step()
    return time.perf_counter() - wall, time.process_time() - cpu


def _warm(plan: Plan) -> Stepper:
    stepper = Stepper(plan)
    for _ in range(WARM_UP):
        stepper.step()
    return stepper


def _spread(seconds: Sequence[float]) -> dict[str, float]:
    return {
        "median": statistics.median(seconds),
        "min": min(seconds),
        "max": max(seconds),
    }


def _steps(command: str) -> int:
    word, _, count = command.strip().partition(" ")
    if word != "step" or not count.isdecimal():
        raise ConfigError(f"Expected 'step N', received {command.strip()!r}.")
    return int(count)


def _at_least_one(steps: int) -> None:
    if steps < 1:
        raise ConfigError(f"--steps must be 1 or more, received {steps}.")
