"""Charts of a run, each a function from plain dictionaries to PNG bytes."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator, PercentFormatter

from gim_tf.inspection import style
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

PROBE_PANELS = (
    ("linear_top1", "Linear probe, pooled"),
    ("linear_grid_top1", "Linear probe, whole grid"),
    ("knn_top1", "Nearest neighbours"),
)
_ANNOTATED_CLASSES = 15  # beyond these the numbers in the cells are unreadable
_NAMED_CLASSES = 60


def loss_curves(history: History, chance: Mapping[str, float]) -> bytes:
    """Loss of each module over training, against the loss of a guess.

    Args:
      history: log lines, `{"step": 50, "module_1": {"loss": 2.1}, ...}`.
      chance: loss of a guess in nats, by module.
    """
    figure, (ax,) = style.new_figure(3.7)
    ends = []
    for name in history_modules(history):
        steps, losses = curve(history, name, "loss")
        if not steps:
            continue
        colour = style.module_colour(name)
        ax.plot(steps, losses, color=colour, linewidth=2)
        text = f"{module_title(name)}  {losses[-1]:.2f}"
        ends.append((losses[-1], text, colour))
    for value in sorted({round(v, 6) for v in chance.values()}):
        ax.axhline(value, color=style.CHANCE, linestyle="--", linewidth=1.4)
        guess = f"a guess  ln {math.exp(value):.0f} = {value:.2f}"
        ends.append((value, guess, style.CHANCE))
    style.label(ax, x="training step", y="loss (nats)")
    ax.margins(x=0.01, y=0.08)
    style.write_at_right(ax, [e for e in ends if math.isfinite(e[0])])
    return style.png(figure)


def probe_accuracy(probes: Probes, controls: Mapping[str, Any]) -> bytes:
    """Accuracy by depth: trained, untrained, raw input and chance.

    Args:
      probes: by module, accuracies in [0, 1] under the keys of
        `PROBE_PANELS`, each also with the prefix "untrained_".
      controls: "raw_top1" and "chance", each may be missing.
    """
    panels = [
        (key, title)
        for key, title in PROBE_PANELS
        if any(key in result for result in probes.values())
    ]
    figure, axes = style.new_figure(3.9, max(len(panels), 1), share_y=True)
    for ax, (key, title) in zip(axes, panels, strict=False):
        _draw_probe(ax, probes, controls, key)
        style.label(ax, x="module (depth)", title=title)
    axes[0].set_ylabel("test accuracy", color=style.INK, fontsize=10)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(
        handles,
        names,
        loc="outside lower center",
        ncols=len(names),
        frameon=False,
        fontsize=9.5,
    )
    return style.png(figure)


def confusion_matrix(
    counts: Sequence[Sequence[int]], class_names: Sequence[str]
) -> bytes:
    """What each true class (a row) is taken for, as shares of the row."""
    table = np.asarray(counts, dtype=float)
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1.0)
    figure, (ax,) = style.new_figure(6.6)
    ax.grid(visible=False)
    shown = ax.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    bar = figure.colorbar(shown, ax=ax, shrink=0.8, pad=0.02)
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    bar.set_label("share of the true class", color=style.INK, fontsize=10)
    bar.ax.set_frame_on(False)
    if len(class_names) <= _NAMED_CLASSES:
        size = 9.5 if len(class_names) <= _ANNOTATED_CLASSES else 6
        places = range(len(class_names))
        plain = {"parse_math": False}  # a "$" in a name is a dollar
        ax.set_xticks(places, class_names, rotation=45, ha="right", **plain)
        ax.set_yticks(places, class_names, **plain)
        ax.tick_params(labelsize=size, length=0)
    if len(class_names) <= _ANNOTATED_CLASSES:
        _write_cells(ax, shares)
    style.label(ax, x="predicted class", y="true class")
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


def _draw_probe(
    ax: Axes, probes: Probes, controls: Mapping[str, Any], key: str
) -> None:
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
    _draw_controls(ax, controls)
    ax.set_xticks(depth)
    ax.set_xlim(min(depth) - 0.45, max(depth) + 0.45)
    ax.set_ylim(0.0, 1.05)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))


def _draw_controls(ax: Axes, controls: Mapping[str, Any]) -> None:
    lines = (
        ("raw_top1", "raw input, linear", style.RAW, ":"),
        ("chance", "a guess", style.CHANCE, "--"),
    )
    for key, name, colour, dash in lines:
        value = as_float(controls.get(key))
        if math.isfinite(value):
            text = f"{name} ({value:.1%})"
            ax.axhline(
                value, color=colour, linestyle=dash, linewidth=1.4, label=text
            )


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


def _write_cells(ax: Axes, shares: np.ndarray) -> None:
    for (row, column), share in np.ndenumerate(shares):
        if share >= 0.005:
            ax.text(
                column,
                row,
                f"{100 * share:.0f}",
                ha="center",
                va="center",
                fontsize=9,
                color="white" if share > 0.55 else style.INK,
            )


def _bar_text(row: Mapping[str, Any], value: float) -> str:
    if _is_cached(row):
        return "cached"
    if not math.isfinite(value):
        return ""
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _is_cached(row: Mapping[str, Any]) -> bool:
    return str(row.get("state", "")).lower() == "cached"
