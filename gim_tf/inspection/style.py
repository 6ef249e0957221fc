"""One look for all charts: colours, axes, and the way to PNG bytes.

Figures are objects of their own (no pyplot), so that charts can be drawn in
any thread and leave no state behind.
"""

import io
import itertools
from collections.abc import Sequence
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gim_tf.inspection.curves import module_number

WIDTH = 9.6  # inches; 960 CSS pixels, the text width of the report
_DPI = 160

INK = "#24292f"
MUTED = "#6b7280"
FAINT = "#e5e7eb"
CHANCE = "#6b7280"
RAW = "#24292f"

# Okabe and Ito's colours, told apart with every kind of colour vision.
MODULE_COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#332288",
    "#999933",
)
_MARKERS = "osD^vP"


def module_colour(name: str) -> str:
    """The colour of "module_1" is the same in every chart and table."""
    return MODULE_COLOURS[(module_number(name) - 1) % len(MODULE_COLOURS)]


def module_marker(name: str) -> str:
    """A marker a module, for readers without colours."""
    return _MARKERS[(module_number(name) - 1) % len(_MARKERS)]


def new_figure(
    height: float, columns: int = 1, *, share_y: bool = False
) -> tuple[Figure, list[Axes]]:
    """A white figure of the report's width with one row of styled axes."""
    return new_grid([height], columns, share_y=share_y)


def new_grid(
    heights: Sequence[float],
    columns: int = 1,
    *,
    share_x: bool = False,
    share_y: bool = False,
) -> tuple[Figure, list[Axes]]:
    """The same with a row of axes for each height in inches, row by row."""
    figure = Figure(
        figsize=(WIDTH, sum(heights)), layout="constrained", facecolor="white"
    )
    FigureCanvasAgg(figure)
    grid = figure.subplots(
        len(heights),
        columns,
        squeeze=False,
        sharex=share_x,
        sharey=share_y,
        height_ratios=heights,
    )
    axes = list(itertools.chain(*grid))
    for ax in axes:
        style_axes(ax)
    return figure, axes


def new_sheet(height: float) -> tuple[Figure, Axes]:
    """One bare surface as large as the figure, in inches from its top left.

    For many small pictures at exact places, which cost a tenth of as many axes.
    """
    figure = Figure(figsize=(WIDTH, height), facecolor="white")
    FigureCanvasAgg(figure)
    ax = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    ax.set_axis_off()
    ax.set_xlim(0.0, WIDTH)
    ax.set_ylim(height, 0.0)
    return figure, ax


def style_axes(ax: Axes) -> None:
    """Light horizontal grid, no box, muted ticks."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color("#b6bcc5")
    ax.grid(axis="y", color=FAINT, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.tick_params(colors=MUTED, labelsize=9.5, length=3)


def label(ax: Axes, *, x: str = "", y: str = "", title: str = "") -> None:
    """Axis labels with units, and a title at the left edge."""
    ax.set_xlabel(x, color=INK, fontsize=10)
    ax.set_ylabel(y, color=INK, fontsize=10)
    if title:
        ax.set_title(
            title, loc="left", color=INK, fontsize=11, fontweight="bold"
        )


def write_at_right(
    ax: Axes, entries: Sequence[tuple[float, str, str]], *, gap: float = 0.07
) -> None:
    """Names lines at their right end instead of in a legend.

    Args:
      ax: axes whose limits are final.
      entries: (height in data units, text, colour) of each line.
      gap: smallest distance between two texts, as a share of the height.
    """
    low, high = ax.get_ylim()
    places = _spread([y for y, _, _ in entries], gap * (high - low))
    for place, (_, text, colour) in zip(places, entries, strict=True):
        ax.annotate(
            text,
            (1.0, place),
            xycoords=("axes fraction", "data"),
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            color=colour,
            fontsize=9.5,
            annotation_clip=False,
        )


def png(figure: Figure) -> bytes:
    """The figure as PNG bytes, equal for equal data."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return buffer.getvalue()


def _spread(heights: Sequence[float], gap: float) -> list[float]:
    """Moves heights apart to at least `gap`, each as little as it can.

    The least-squares answer: heights minus their rank's gap must not fall,
    so neighbours that do are pooled at their mean.
    """
    order = sorted(range(len(heights)), key=heights.__getitem__)
    pools: list[list[float]] = []
    for rank, index in enumerate(order):
        pools.append([heights[index] - rank * gap])
        while len(pools) > 1 and fmean(pools[-2]) > fmean(pools[-1]):
            pools[-2:] = [pools[-2] + pools[-1]]
    level = [fmean(pool) for pool in pools for _ in pool]
    places = list(heights)
    for rank, index in enumerate(order):
        places[index] = level[rank] + rank * gap
    return places
