"""The tables of modules that end `gim run`, from summary.json alone."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gim_tf.inspection.curves import as_float, module_names, module_title
from gim_tf.inspection.tasks import GAIN, SCORE, UNTRAINED, Task, tasks

_LOCAL = ("loss / a guess", "own task")
_HELDOUT = ("held-out loss", "held-out own task")


class ModuleRow(NamedTuple):
    """Results of one module in one task; NaN for what was not measured.

    Attributes:
      name: its key, such as "module_3".
      loss: local loss, in nats.
      chance_loss: that of a guess, in nats.
      accuracy: in the module's own task, in [0, 1]: of InfoNCE the share of
        positives found, of supervised objectives that of classes.
      heldout_loss: as `loss`, on examples that were never trained on.
      heldout_accuracy: likewise.
      scores: accuracies of the probes by key, in [0, 1].
    """

    name: str
    loss: float
    chance_loss: float
    accuracy: float
    heldout_loss: float
    heldout_accuracy: float
    scores: Mapping[str, float]

    @property
    def title(self) -> str:
        """The name for people, such as "module 3"."""
        return module_title(self.name)

    @property
    def linear(self) -> float:
        """The linear probe, which stands for the task."""
        return self.score(SCORE)

    @property
    def untrained(self) -> float:
        """The linear probe of the same network before training."""
        return self.score(f"{UNTRAINED}{SCORE}")

    @property
    def gain(self) -> float:
        """Linear probe minus that of the untrained network."""
        return self.linear - self.untrained

    def score(self, key: str) -> float:
        """One result of the probes."""
        return self.scores.get(key, math.nan)


def module_rows(
    summary: Mapping[str, Any], task: Task | None = None
) -> list[ModuleRow]:
    """All modules that were trained or probed, by depth.

    Args:
      summary: the content of summary.json.
      task: whose accuracies; None: those of the first one, if any.
    """
    trained = _local_by_part(summary)
    if task is None:
        task = next(iter(tasks(summary)), None)
    probed = task.modules if task else {}
    rows = []
    for name in module_names({**trained, **probed}):
        local, scores = trained.get(name) or {}, probed.get(name) or {}
        rows.append(
            ModuleRow(
                name=name,
                loss=as_float(local.get("loss")),
                chance_loss=as_float(local.get("chance_loss")),
                accuracy=as_float(local.get("accuracy")),
                heldout_loss=as_float(local.get("heldout_loss")),
                heldout_accuracy=as_float(local.get("heldout_accuracy")),
                scores={key: as_float(value) for key, value in scores.items()},
            )
        )
    return rows


def cell(row: ModuleRow, key: str) -> str:
    """A result as text."""
    if key == GAIN:
        return percent(row.gain, sign=True)
    return percent(row.score(key))


def summarise_table(summary: Mapping[str, Any]) -> str:
    """The modules as plain text tables, one a task, controls at their ends.

    Args:
      summary: the content of summary.json; what is missing shows as "-".
    """
    found = tasks(summary)
    if not found:
        return _table(module_rows(summary), [], with_local=True)
    tables = []
    for index, task in enumerate(found):
        rows, shown = (
            module_rows(summary, task),
            task.measured(task.words.columns),
        )
        tables.append(
            _table(
                rows,
                shown,
                with_local=not index,
                controls=task.control_rows(shown),
            )
        )
    return "\n\n".join(tables)


def percent(share: float, *, sign: bool = False) -> str:
    """A share as text: 0.795 is "79.5 %", a signed one is "+3.1"; NaN "-"."""
    if not math.isfinite(share):
        return "-"
    return f"{100 * share:+.1f}" if sign else f"{100 * share:.1f} %"


def _local_by_part(summary: Mapping[str, Any]) -> dict[str, Any]:
    """What training says of each module, by the part that ends where it does.

    Parts are the modules, unless the probes divide the network otherwise.
    """
    trained = (summary.get("pretrain") or {}).get("modules") or {}
    settings = summary.get("settings") or {}
    parts = (settings.get("probe") or {}).get("module_sizes")
    if not parts:
        return dict(trained)
    ends = list(itertools.accumulate(parts))
    placed = {}
    modules = itertools.accumulate(settings["stack"]["module_sizes"])
    for index, end in enumerate(modules, 1):
        name = f"module_{index}"
        is_last = index == len(settings["stack"]["module_sizes"])
        if name in trained and (is_last or end in ends):
            part = len(ends) if is_last else ends.index(end) + 1
            placed[f"module_{part}"] = trained[name]
    return placed


def _table(
    rows: Sequence[ModuleRow],
    shown: Sequence[tuple[str, str]],
    *,
    with_local: bool,
    controls: Sequence[tuple[str, Sequence[float]]] = (),
) -> str:
    local = _local_columns(rows) if with_local else ()
    header = ("module", *local, *(t for _, t in shown))
    cells = [
        (
            row.title,
            *_local(row)[: len(local)],
            *(cell(row, key) for key, _ in shown),
        )
        for row in rows
    ]
    for title, values in controls:
        blank = ("",) * len(local)
        known = (percent(v) if math.isfinite(v) else "" for v in values)
        cells.append((title, *blank, *known))
    widths = [max(map(len, c)) for c in zip(header, *cells, strict=True)]
    lines = [_line(line, widths) for line in (header, *cells)]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def has_heldout(rows: Sequence[ModuleRow]) -> bool:
    """Whether any module was measured on examples never trained on."""
    return any(math.isfinite(row.heldout_loss) for row in rows)


def _local_columns(rows: Sequence[ModuleRow]) -> tuple[str, ...]:
    return (*_LOCAL, *(_HELDOUT if has_heldout(rows) else ()))


def _local(row: ModuleRow) -> tuple[str, ...]:
    return (
        f"{_number(row.loss)} / {_number(row.chance_loss)}",
        percent(row.accuracy),
        _number(row.heldout_loss),
        percent(row.heldout_accuracy),
    )


def _number(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "-"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    padded = [first[0].ljust(first[1])]
    padded += [text.rjust(width) for text, width in others]
    return "  ".join(padded)
