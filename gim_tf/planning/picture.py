"""The plan as a chart: throughput and memory against workers."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes

from gim_tf.inspection.style import (
    MODULE_COLOURS,
    MUTED,
    label,
    new_figure,
    png,
)

_MARKERS = ("o", "s", "D")
_GIB = 1024**3


def picture(plan: Mapping[str, Any]) -> bytes:
    """A PNG of what `gim_tf.planning.table.plan` returns."""
    figure, (left, right) = new_figure(3.6, 2)
    rows = plan["rows"]
    systems = list(dict.fromkeys(row["system"] for row in rows))
    workers = sorted({row["workers"] for row in rows})
    _lines(left, rows, systems, "speedup", 1.0)
    left.plot(workers, workers, color=MUTED, linestyle=":", label="ideal")
    label(left, x="workers", y="examples a second, of one worker's")
    left.legend(frameon=False)
    _lines(right, rows, systems, "memory", _GIB)
    label(right, x="workers", y="GiB of the fullest worker")
    for axes in (left, right):
        axes.set_xscale("log")
        axes.set_yscale("log")
    return png(figure)


def _lines(
    axes: Axes,
    rows: list[dict[str, Any]],
    systems: list[str],
    key: str,
    unit: float,
) -> None:
    for index, system in enumerate(systems):
        chosen = [row for row in rows if row["system"] == system]
        axes.plot(
            [row["workers"] for row in chosen],
            [row[key] / unit for row in chosen],
            color=MODULE_COLOURS[index],
            marker=_MARKERS[index % len(_MARKERS)],
            label=system,
        )
