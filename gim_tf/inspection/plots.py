"""Charts of a run, each a function from plain dictionaries to PNG bytes."""

import math
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator, PercentFormatter

from gim_tf.inspection import style
from gim_tf.inspection.confusion import confusion_matrix as confusion_matrix
from gim_tf.inspection.curves import (
    as_float,
    curve,
    history_modules,
    last_value,
    module_names,
    module_number,
    module_title,
)

History = Sequence[Mapping[str, Any]]
Probes = Mapping[str, Mapping[str, Any]]

GUESS = "a guess"  # the control that is drawn as chance is elsewhere
_DASHES = (":", "-.", (0, (1, 3)), (0, (6, 2, 1, 2, 1, 2)))  # of the others
_LEGEND_COLUMNS = 5


class Panel(NamedTuple):
    """One of the charts side by side in `accuracy_by_depth`.

    Attributes:
      key: of the accuracy in a module's results.
      title: of the chart.
      controls: accuracies of what has no depth, by the name that readers see,
        `GUESS` for chance; None is left out.
    """

    key: str
    title: str
    controls: Mapping[str, Any]


def loss_curves(history: History, chance: Mapping[str, float]) -> bytes:
    """Loss of each module over training, against the loss of a guess.

    Dashed: on held-out examples, where they were measured.

    Args:
      history: log lines, `{"step": 50, "module_1": {"loss": 2.1,
        "heldout_loss": 2.2}, ...}`.
      chance: loss of a guess in nats, by module.
    """
    figure, (ax,) = style.new_figure(3.7)
    ends = []
    for name in history_modules(history):
        steps, losses = curve(history, name, "loss")
        if not steps:
            continue
        colour = style.module_colour(name)
        ax.plot(steps, losses, color=colour, linewidth=2, marker=_alone(steps))
        text = f"{module_title(name)}  {losses[-1]:.2f}"
        ends.append((losses[-1], text, colour))
        steps, losses = curve(history, name, "heldout_loss")
        if steps:
            ax.plot(steps, losses, "o--", color=colour, markersize=3.5)
    for value in sorted({round(v, 6) for v in chance.values()}):
        ax.axhline(value, color=style.CHANCE, linestyle="--", linewidth=1.4)
        guess = f"a guess  ln {math.exp(value):.0f} = {value:.2f}"
        ends.append((value, guess, style.CHANCE))
    style.label(ax, x="training step", y="loss (nats)")
    ax.margins(x=0.01, y=0.08)
    style.write_at_right(ax, [e for e in ends if math.isfinite(e[0])])
    return style.png(figure)


def accuracy_by_depth(probes: Probes, panels: Sequence[Panel]) -> bytes:
    """Accuracy by depth, trained and untrained, against any controls.

    Args:
      probes: by module, accuracies in [0, 1] under the keys of the panels,
        each also with the prefix "untrained_".
      panels: left to right; one that no module has a value for is left out.
    """
    shown = [
        panel
        for panel in panels
        if any(
            math.isfinite(as_float(r.get(panel.key))) for r in probes.values()
        )
    ]
    figure, axes = style.new_figure(3.9, max(len(shown), 1), share_y=True)
    for ax, panel in zip(axes, shown, strict=False):
        _draw_probe(ax, probes, panel.key)
        _draw_controls(ax, panel, shown)
        style.label(ax, x="module (depth)", title=panel.title)
    axes[0].set_ylabel("test accuracy", color=style.INK, fontsize=10)
    handles = {
        name: handle
        for ax in axes
        for handle, name in zip(*ax.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="outside lower center",
        ncols=min(len(handles), _LEGEND_COLUMNS),
        frameon=False,
        fontsize=9.5,
    )
    return style.png(figure)


def accuracy_per_step(history: History, chance: float | None) -> bytes:
    """Contrastive accuracy by how far ahead a module predicts.

    Args:
      history: log lines with `per_step`, the accuracies for k = 1..K.
      chance: accuracy of a guess, 1 / (N + 1), or None.
    """
    figure, (ax,) = style.new_figure(3.4)
    ends = []
    for name in history_modules(history):
        values = last_value(history, name, "per_step")
        if not values:
            continue
        colour = style.module_colour(name)
        ax.plot(
            range(1, len(values) + 1),
            values,
            color=colour,
            marker=style.module_marker(name),
            linewidth=2,
        )
        text = f"{module_title(name)}  {as_float(values[-1]):.1%}"
        ends.append((as_float(values[-1]), text, colour))
    if chance is not None:
        ax.axhline(chance, color=style.CHANCE, linestyle="--", linewidth=1.4)
        ends.append((chance, f"a guess  {chance:.1%}", style.CHANCE))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    ax.set_ylim(0.0, 1.0)
    style.label(ax, x="prediction step k", y="positives found")
    style.write_at_right(ax, [e for e in ends if math.isfinite(e[0])])
    return style.png(figure)


def feature_health(history: History) -> bytes:
    """Effective rank and feature spread over training, by module.

    Args:
      history: log lines with `effective_rank` and `spread`, the deviation of
        the l2-normalised features in units of 1/sqrt(d).
    """
    quantities = (
        ("effective_rank", "Effective rank", "directions in use"),
        ("spread", "Feature spread", "deviation / isotropic deviation"),
    )
    figure, axes = style.new_figure(3.3, len(quantities))
    axes[1].axhline(1.0, color=style.CHANCE, linestyle="--", linewidth=1.4)
    for ax, (key, title, unit) in zip(axes, quantities, strict=True):
        for name in history_modules(history):
            steps, values = curve(history, name, key)
            ax.plot(
                steps,
                values,
                color=style.module_colour(name),
                linewidth=2,
                marker=_alone(steps),
                label=module_title(name),
            )
        ax.set_ylim(bottom=0.0)
        style.label(ax, x="training step", y=unit, title=title)
    axes[0].legend(frameon=False, fontsize=9.5)
    return style.png(figure)


def time_and_memory(execution: Sequence[Mapping[str, Any]]) -> bytes:
    """Wall time and peak memory of each pipeline component, as bars."""
    rows = list(reversed(execution))  # the first component on top
    names = [str(row.get("component", "?")) for row in rows]
    figure, axes = style.new_figure(0.9 + 0.36 * len(rows), 2, share_y=True)
    columns = (
        ("seconds", "Wall time", "seconds", style.MODULE_COLOURS[0]),
        ("peak_mib", "Peak memory", "MiB", style.MODULE_COLOURS[4]),
    )
    for ax, (key, title, unit, colour) in zip(axes, columns, strict=True):
        values = [as_float(row.get(key)) for row in rows]
        colours = [style.FAINT if _is_cached(row) else colour for row in rows]
        bars = ax.barh(
            range(len(rows)), np.nan_to_num(values), color=colours, height=0.62
        )
        texts = [_bar_text(row, v) for row, v in zip(rows, values, strict=True)]
        ax.bar_label(bars, texts, padding=4, color=style.INK, fontsize=9.5)
        ax.grid(axis="x", color=style.FAINT, linewidth=0.8)
        ax.grid(visible=False, axis="y")
        ax.margins(x=0.18)
        ax.set_yticks(range(len(rows)), names, parse_math=False)
        ax.tick_params(axis="y", labelcolor=style.INK, length=0)
        style.label(ax, x=unit, title=title)
    return style.png(figure)


def _alone(steps: Sequence[int]) -> str | None:
    """The marker of a curve: a single point has no line to be seen by."""
    return "o" if len(steps) == 1 else None


def _draw_probe(ax: Axes, probes: Probes, key: str) -> None:
    names = module_names(probes)
    depth = [module_number(name) for name in names]
    trained = [as_float(probes[name].get(key)) for name in names]
    untrained = [as_float(probes[n].get(f"untrained_{key}")) for n in names]
    ax.fill_between(depth, untrained, trained, color="#0072b2", alpha=0.08)
    ax.plot(depth, trained, color="#0072b2", linewidth=1.6, label="trained")
    ax.plot(
        depth,
        untrained,
        color=style.MUTED,
        marker="o",
        markerfacecolor="white",
        linewidth=1.4,
        label="same network, untrained",
    )
    for x, y, name in zip(depth, trained, names, strict=True):
        colour = style.module_colour(name)
        ax.plot(x, y, style.module_marker(name), color=colour, markersize=8)
        if math.isfinite(y):
            _write_value(ax, x, y, colour)
    ax.set_xticks(depth)
    ax.set_xlim(min(depth) - 0.45, max(depth) + 0.45)
    ax.set_ylim(0.0, 1.05)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))


def _draw_controls(ax: Axes, panel: Panel, panels: Sequence[Panel]) -> None:
    """Horizontal lines; a value that all panels share is in the legend."""
    names = list(dict.fromkeys(name for p in panels for name in p.controls))
    dashes = dict(zip((n for n in names if n != GUESS), cycle(_DASHES)))
    ends = []
    for name in names:
        values = {as_float(p.controls.get(name)) for p in panels}
        value = as_float(panel.controls.get(name))
        if not math.isfinite(value):
            continue
        colour = style.CHANCE if name == GUESS else style.RAW
        is_shared = len(values) == 1
        ax.axhline(
            value,
            color=colour,
            linestyle=dashes.get(name, "--"),
            linewidth=1.4,
            label=f"{name} ({value:.1%})" if is_shared else name,
        )
        if not is_shared:
            ends.append((value, f"{100 * value:.1f}", colour))
    style.write_at_right(ax, ends)


def _write_value(ax: Axes, x: float, y: float, colour: str) -> None:
    ax.annotate(
        f"{100 * y:.1f}",
        (x, y),
        xytext=(0, 8),
        textcoords="offset points",
        ha="center",
        color=colour,
        fontsize=9.5,
        fontweight="bold",
        path_effects=[withStroke(linewidth=3, foreground="white")],
    )


def _bar_text(row: Mapping[str, Any], value: float) -> str:
    if _is_cached(row):
        return "cached"
    if not math.isfinite(value):
        return ""
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _is_cached(row: Mapping[str, Any]) -> bool:
    return str(row.get("state", "")).lower() == "cached"
