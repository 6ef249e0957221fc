"""The table of modules that ends `gim run`, from summary.json alone."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gim_tf.inspection.curves import as_float, module_names, module_title

_HEADER = (
    "module",
    "loss / log(N+1)",
    "contrastive",
    "linear",
    "grid",
    "kNN",
    "untrained",
    "gain",
)


class ModuleRow(NamedTuple):
    """Results of one module; NaN stands for what was not measured.

    Losses are in nats, all others are shares in [0, 1]; `untrained` is the
    linear probe on the same module before training.
    """

    name: str
    loss: float
    chance_loss: float
    accuracy: float
    linear: float
    grid: float
    knn: float
    untrained: float

    @property
    def title(self) -> str:
        """The name for people, such as "module 3"."""
        return module_title(self.name)

    @property
    def gain(self) -> float:
        """Linear probe minus that of the untrained network."""
        return self.linear - self.untrained


def module_rows(summary: Mapping[str, Any]) -> list[ModuleRow]:
    """All modules that were trained or probed, by depth."""
    trained = (summary.get("pretrain") or {}).get("modules") or {}
    probes = summary.get("probes") or {}
    rows = []
    for name in module_names({**trained, **probes}):
        local, probe = trained.get(name) or {}, probes.get(name) or {}
        rows.append(
            ModuleRow(
                name=name,
                loss=as_float(local.get("loss")),
                chance_loss=as_float(local.get("chance_loss")),
                accuracy=as_float(local.get("accuracy")),
                linear=as_float(probe.get("linear_top1")),
                grid=as_float(probe.get("linear_grid_top1")),
                knn=as_float(probe.get("knn_top1")),
                untrained=as_float(probe.get("untrained_linear_top1")),
            )
        )
    return rows


def summarise_table(summary: Mapping[str, Any]) -> str:
    """The modules as a plain text table, with a line of controls below.

    Args:
      summary: the content of summary.json; what is missing shows as "-".
    """
    cells = [_HEADER, *(_cells(row) for row in module_rows(summary))]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [_line(row, widths) for row in cells]
    lines.insert(1, "-" * len(lines[0]))
    controls = summary.get("controls") or {}
    return "\n".join([*lines, _controls_line(controls)])


def percent(share: float, *, sign: bool = False) -> str:
    """A share as text: 0.795 is "79.5 %", a signed one is "+3.1"; NaN "-"."""
    if not math.isfinite(share):
        return "-"
    return f"{100 * share:+.1f}" if sign else f"{100 * share:.1f} %"


def _cells(row: ModuleRow) -> tuple[str, ...]:
    return (
        row.title,
        f"{_number(row.loss)} / {_number(row.chance_loss)}",
        percent(row.accuracy),
        percent(row.linear),
        percent(row.grid),
        percent(row.knn),
        percent(row.untrained),
        percent(row.gain, sign=True),
    )


def _number(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "-"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    padded = [first[0].ljust(first[1])]
    padded += [cell.rjust(width) for cell, width in others]
    return "  ".join(padded)


def _controls_line(controls: Mapping[str, Any]) -> str:
    raw = percent(as_float(controls.get("raw_top1")))
    chance = percent(as_float(controls.get("chance")))
    return f"controls: linear on raw input {raw}, a guess {chance}"
