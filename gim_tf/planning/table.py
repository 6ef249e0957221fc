"""The plan: every system with every number of workers."""

from collections.abc import Callable, Sequence
from typing import Any

from gim_tf.errors import ConfigError
from gim_tf.planning.costs import Costs, total
from gim_tf.planning.simulation import simulate
from gim_tf.planning.systems import (
    Estimate,
    Settings,
    data_parallel,
    decoupled,
    gpipe,
)

WORKERS = (2, 4, 8, 16, 32, 64, 128, 256, 512, 1000)
_MOST_WORKERS = 100_000
_SYSTEMS: dict[str, Callable[[Costs, int, Settings], Estimate]] = {
    "decoupled": decoupled,
    "gpipe": gpipe,
    "data parallel": data_parallel,
}
_BATCHES = 400  # of a simulation


def plan(
    costs: Costs,
    settings: Settings,
    workers: Sequence[int] = WORKERS,
    *,
    memory: float | None = None,
    jitter: float = 0.0,
    seed: int = 0,
) -> dict[str, Any]:
    """Estimates, ready for JSON.

    Args:
      costs: of the network.
      settings: of the systems.
      workers: numbers of them.
      memory: bytes that a worker has; None: enough.
      jitter: of the decoupled stages, see `gim_tf.planning.simulation`.
      seed: of the jitter.

    Returns:
      {"batch_size", "modules", "one_worker" (examples a second), "rows":
      [{"system", "workers", "batch", "throughput", "speedup" (over one worker
      with the same step), "memory", "fits", "traffic", "bottleneck", "busy",
      "seconds"}]}; "simulated" besides, examples a second, of the decoupled.

    Raises:
      ConfigError: a number of workers is out of range.
    """
    wrong = [n for n in workers if not 1 <= n <= _MOST_WORKERS]
    if wrong or not workers:
        raise ConfigError(
            f"--workers must be 1 to {_MOST_WORKERS}, received {list(workers)}."
        )
    alone = costs.batch_size / total(costs.modules, "step_s")
    rows = []
    for count in workers:
        for system, estimate in _SYSTEMS.items():
            found = estimate(costs, count, settings)
            row: dict[str, Any] = {
                "system": system,
                "workers": count,
                "speedup": found.throughput / alone,
                "fits": memory is None or found.memory <= memory,
                **found._asdict(),
                "seconds": dict(found.seconds),
            }
            if system == "decoupled":
                row["simulated"] = _simulated(
                    found, settings, jitter=jitter, seed=seed
                )
            rows.append(row)
    return {
        "batch_size": costs.batch_size,
        "modules": len(costs.modules),
        "one_worker": alone,
        "rows": rows,
    }


def _simulated(
    found: Estimate, settings: Settings, *, jitter: float, seed: int
) -> float:
    """Examples a second of the simulated line of stages and links."""
    line = simulate(
        [seconds for seconds in found.seconds.values() if seconds > 0],
        batches=_BATCHES,
        queue=settings.queue,
        jitter=jitter,
        seed=seed,
    )
    return found.batch / line.period
