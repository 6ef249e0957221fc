"""Which class is taken for which: the confusion matrix as PNG bytes."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.ticker import PercentFormatter

from gim_tf.inspection import phones, style

_ANNOTATED_CLASSES = 15  # beyond these the numbers in the cells are unreadable
_NAMED_CLASSES = 60
_NARROW_NAME = 3  # characters that fit above a column of so many classes
_WIDE_GROUP = 3  # columns that a group's name fits above


def confusion_matrix(
    counts: Sequence[Sequence[int]], class_names: Sequence[str]
) -> bytes:
    """What each true class (a row) is taken for, as shares of the row.

    Phones stand beside their like. Among many classes a small share has more
    than its share of colour, and a row without examples is grey.
    """
    table = np.asarray(counts, dtype=float)
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1.0)
    if len(class_names) <= _ANNOTATED_CLASSES:
        figure, (ax,) = style.new_figure(6.6)
        norm = PowerNorm(1.0, vmin=0.0, vmax=1.0)
        _draw_shares(ax, shares, norm)
        _name_classes(ax, class_names, size=9.5, rotation=45)
        _write_cells(ax, shares, norm, least=0.005, size=9)
    else:
        order, groups = phones.arrange(class_names)
        shares[table.sum(axis=1) == 0] = np.nan
        shares = shares[np.ix_(order, order)]
        is_named = len(class_names) <= _NAMED_CLASSES
        figure, (ax,) = style.new_figure(8.4 if is_named else 6.6)
        norm = PowerNorm(0.5, vmin=0.0, vmax=1.0)
        _draw_shares(ax, shares, norm)
        if is_named:
            names = [class_names[label] for label in order]
            longest = max(map(len, names))
            rotation = 0 if longest <= _NARROW_NAME else 90
            _name_classes(ax, names, size=8, rotation=rotation)
            _write_cells(ax, shares, norm, least=0.095, size=6)
        _draw_groups(ax, groups)
    style.label(ax, x="predicted class", y="true class")
    return style.png(figure)


def _draw_shares(ax: Axes, shares: np.ndarray, norm: PowerNorm) -> None:
    ax.grid(visible=False)
    ax.set_facecolor(style.FAINT)  # of rows that have no shares
    shown = ax.imshow(shares, cmap="Blues", norm=norm)
    bar = ax.figure.colorbar(shown, ax=ax, shrink=0.8, pad=0.02)
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    bar.set_label("share of the true class", color=style.INK, fontsize=10)
    bar.ax.set_frame_on(False)


def _name_classes(
    ax: Axes, names: Sequence[str], *, size: float, rotation: int
) -> None:
    places = range(len(names))
    plain = {"parse_math": False}  # a "$" in a name is a dollar
    side = "right" if rotation == 45 else "center"
    ax.set_xticks(places, names, rotation=rotation, ha=side, **plain)
    ax.set_yticks(places, names, **plain)
    ax.tick_params(labelsize=size, length=0)


def _write_cells(
    ax: Axes,
    shares: np.ndarray,
    norm: PowerNorm,
    *,
    least: float,
    size: float,
) -> None:
    """Shares from `least` on in percent, white where the cell is dark."""
    for (row, column), share in np.ndenumerate(shares):
        if share >= least:
            ax.text(
                column,
                row,
                f"{100 * share:.0f}",
                ha="center",
                va="center",
                fontsize=size,
                color="white" if norm(share) > 0.55 else style.INK,
            )


def _draw_groups(ax: Axes, groups: Sequence[tuple[str, int]]) -> None:
    """Names groups of classes above their columns, lines between them."""
    start = 0
    for name, count in groups:
        if start:
            for draw in (ax.axhline, ax.axvline):
                draw(start - 0.5, color=style.MUTED, linewidth=0.8)
        is_narrow = count < _WIDE_GROUP
        ax.annotate(
            name,
            (start + (count - 1) / 2, -0.5),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            rotation=90 if is_narrow else 0,
            color=style.MUTED,
            fontsize=8.5,
            annotation_clip=False,
        )
        start += count
