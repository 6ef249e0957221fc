"""Charts of a study: systems with their spread over seeds, as PNG bytes."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from gim_tf.inspection import style

_ROW = 0.34  # inches of a line of text
_MARKERS = "osD^vPX*"


class Point(NamedTuple):
    """A mean with its standard deviation, NaN where there is none."""

    name: str
    mean: float
    std: float = math.nan
    control: bool = False


class Trace(NamedTuple):
    """One module's evaluated losses over training; each may be empty.

    `training` is that of examples which are trained on.
    """

    name: str
    steps: Sequence[int]
    training: Sequence[float]
    held_out_steps: Sequence[int] = ()
    held_out: Sequence[float] = ()


def systems(panels: Mapping[str, Sequence[Point]], unit: str) -> bytes:
    """One line a system, a dot at its mean and a bar of one deviation.

    Args:
      panels: by title, left to right; the same systems in all.
      unit: of the values.
    """
    points = next(iter(panels.values()), [])
    height = 1.1 + _ROW * max(len(points), 1)
    figure, axes = style.new_figure(height, max(len(panels), 1), share_y=True)
    for ax, (title, found) in zip(axes, panels.items(), strict=False):
        for place, point in enumerate(reversed(found)):
            _dot(ax, point, place)
        ax.set_yticks(
            range(len(found)),
            [point.name for point in reversed(found)],
            parse_math=False,
        )
        ax.set_ylim(-0.6, len(found) - 0.4)
        ax.tick_params(axis="y", labelcolor=style.INK, length=0)
        ax.grid(axis="x", color=style.FAINT, linewidth=0.8)
        ax.margins(x=0.16)
        style.label(ax, x=unit, title=title)
    return style.png(figure)


def by_depth(
    panels: Mapping[str, Mapping[str, Sequence[Point]]], unit: str
) -> bytes:
    """One curve a system, against the number of the module.

    The axis is logarithmic where values are ten times apart and no bar reaches
    0; else it begins at 0 where they are not close to each other. Curves stand
    a little beside each other, so that their bars can be told apart.

    Args:
      panels: by title, the curves by system: a point a module, first to last.
      unit: of the values.
    """
    figure, axes = style.new_figure(4.2, max(len(panels), 1))
    for ax, (title, curves) in zip(axes, panels.items(), strict=False):
        for index, (name, points) in enumerate(curves.items()):
            is_control = all(point.control for point in points)
            ax.errorbar(
                [
                    depth + 0.02 * (index - (len(curves) - 1) / 2)
                    for depth in range(1, len(points) + 1)
                ],
                [point.mean for point in points],
                [_bar(point) for point in points],
                color=style.MUTED
                if is_control
                else style.MODULE_COLOURS[index % len(style.MODULE_COLOURS)],
                linestyle="--" if is_control else "-",
                marker=_MARKERS[index % len(_MARKERS)],
                markersize=6,
                linewidth=1.8,
                capsize=3,
                label=name,
            )
        _scale(ax, [p for points in curves.values() for p in points])
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        style.label(ax, x="module (depth)", y=unit, title=title)
    handles, names = axes[0].get_legend_handles_labels()
    if handles:
        figure.legend(
            handles,
            names,
            loc="outside lower center",
            ncols=4,
            frameon=False,
            fontsize=9.5,
        )
    return style.png(figure)


def losses(panels: Mapping[str, Sequence[Trace]]) -> bytes:
    """Loss of each module over training, dashed on what is held out.

    Args:
      panels: by title, the modules first to last; one scale for all.
    """
    figure, axes = style.new_figure(4.0, max(len(panels), 1), share_y=True)
    for ax, (title, traces) in zip(axes, panels.items(), strict=False):
        for trace in traces:
            colour = style.module_colour(trace.name)
            ax.plot(
                trace.steps,
                trace.training,
                color=colour,
                linewidth=1.8,
                label=trace.name.replace("_", " "),
            )
            ax.plot(
                trace.held_out_steps,
                trace.held_out,
                color=colour,
                linewidth=1.6,
                linestyle="--",
            )
        style.label(ax, x="training step", y="loss (nats)", title=title)
    axes[0].plot(
        [], [], color=style.INK, linestyle="--", label="on held-out data"
    )
    axes[0].legend(frameon=False, fontsize=9.5)
    return style.png(figure)


def _dot(ax: Axes, point: Point, place: int) -> None:
    if not math.isfinite(point.mean):
        return
    colour = style.MUTED if point.control else style.MODULE_COLOURS[0]
    ax.errorbar(
        [point.mean],
        [place],
        xerr=[_bar(point)],
        color=colour,
        marker="o",
        markersize=7,
        markerfacecolor="white" if point.control else colour,
        capsize=3,
        linewidth=1.6,
    )
    ax.annotate(
        f"{point.mean:,.1f}",
        (point.mean, place),
        xytext=(0, 6),
        textcoords="offset points",
        ha="center",
        color=colour,
        fontsize=8.5,
    )


def _bar(point: Point) -> float:
    return point.std if math.isfinite(point.std) else 0.0


def _scale(ax: Axes, points: Sequence[Point]) -> None:
    means = [point.mean for point in points if math.isfinite(point.mean)]
    if not means or max(means) < 2 * min(means):
        return  # from 0 on, curves so close would be one line
    lowest = min(p.mean - _bar(p) for p in points if math.isfinite(p.mean))
    if lowest <= 0 or max(means) < 10 * min(means):
        ax.set_ylim(bottom=0.0)
        return
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
