"""How many workers, and how many devices each, where there are so many."""

from collections.abc import Iterator
from typing import Any

from gim_tf.errors import ConfigError
from gim_tf.planning.costs import Costs, total
from gim_tf.planning.systems import Settings, Stage, estimate
from gim_tf.training.decoupled.division import Division, divisions

_MOST_DEVICES = 1024


def plan_devices(
    costs: Costs,
    settings: Settings,
    devices: int,
    *,
    memory: float | None = None,
) -> dict[str, Any]:
    """The best division for every number of workers, ready for JSON.

    The batch stays that of the costs. Modules and devices are divided as
    `gim pretrain` does it, as if replicas cost nothing; then links and
    all-reduces count, by which the fastest row is found.

    Args:
      costs: of the network.
      settings: of decoupled training.
      devices: of all workers together.
      memory: bytes that a device has; None: enough.

    Returns:
      {"batch_size", "modules", "one_worker" (examples a second), "devices",
      "best" (workers of the fastest row, of those that fit), "rows":
      [{"workers", "sizes", "replicas", and what a row of
      `gim_tf.planning.table.plan` has}]}.

    Raises:
      ConfigError: there is no device, or there are too many.
    """
    if not 1 <= devices <= _MOST_DEVICES:
        raise ConfigError(
            f"--devices must be 1 to {_MOST_DEVICES}, received {devices}."
        )
    seconds = [module.step_s for module in costs.modules]
    # Replicas divide a batch into equal parts.
    equal = [n for n in range(1, devices + 1) if costs.batch_size % n == 0]
    choices = [equal] * min(devices, len(seconds))
    alone = costs.batch_size / total(costs.modules, "step_s")
    rows = []
    for found in filter(None, divisions(seconds, choices, devices=devices)):
        values = estimate(list(_stages(costs, found)), costs, settings)
        rows.append(
            {
                "system": "decoupled",
                "workers": len(found.sizes),
                "sizes": found.sizes,
                "replicas": found.replicas,
                "speedup": values.throughput / alone,
                "fits": memory is None or values.memory <= memory,
                **values._asdict(),
                "seconds": dict(values.seconds),
            }
        )
    fastest = max(rows, key=lambda row: (row["fits"], row["throughput"]))
    return {
        "batch_size": costs.batch_size,
        "modules": len(costs.modules),
        "one_worker": alone,
        "devices": devices,
        "best": fastest["workers"],
        "rows": rows,
    }


def _stages(costs: Costs, division: Division) -> Iterator[Stage]:
    start = device = 0
    for size, replicas in zip(division.sizes, division.replicas, strict=True):
        modules = costs.modules[start : start + size]
        yield Stage(modules, device, replicas)
        start, device = start + size, device + replicas
