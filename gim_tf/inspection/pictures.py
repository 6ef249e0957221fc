"""Grids of sample views and of one view's patches, as PNG bytes."""

import io
import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from PIL import Image

from gim_tf.errors import DataError
from gim_tf.inspection import style

ANCHOR = "#e69f00"  # of what predicts
TARGET = "#56b4e9"  # of what is predicted

_MIN_WIDTH = 1200  # pixels; smaller grids are enlarged by a whole factor
_GAP = 2  # pixels between the pictures of a grid, before enlarging


def to_pixels(
    values: np.ndarray, *, low: float | None = None, high: float | None = None
) -> np.ndarray:
    """Maps low..high linearly to 0..255; uint8 passes unchanged.

    Args:
      values: any shape, uint8 or real.
      low: value that becomes black; the smallest finite one if None.
      high: value that becomes white; the largest finite one if None.

    Returns:
      uint8 of the same shape; values that are not finite become black.
    """
    if values.dtype == np.uint8:
        return values
    finite = values[np.isfinite(values)]
    if not finite.size:
        return np.zeros(values.shape, np.uint8)
    low = float(finite.min()) if low is None else low
    high = float(finite.max()) if high is None else high
    scaled = (np.nan_to_num(values) - low) / max(high - low, 1e-12)
    return np.round(255.0 * np.clip(scaled, 0.0, 1.0)).astype(np.uint8)


def view_grid(views: np.ndarray, *, columns: int = 8) -> bytes:
    """Views side by side, row by row, in crisp pixels.

    Args:
      views: [n, height, width, channels] with 1 or 3 channels; uint8, or
        reals that `to_pixels` scales over the whole array.
      columns: views a row.

    Raises:
      DataError: another shape, or no view at all.
    """
    if views.ndim != 4 or not len(views) or views.shape[-1] not in (1, 3):
        raise DataError(
            "Expected views of shape [n, height, width, 1 or 3] with n >= 1, "
            f"received {list(views.shape)}."
        )
    sheet = tile(rgb(to_pixels(views)), columns=columns, gap=_GAP)
    factor = math.ceil(_MIN_WIDTH / sheet.shape[1])
    return encode_png(sheet.repeat(factor, axis=0).repeat(factor, axis=1))


def patch_grid(
    view: np.ndarray,
    patches: np.ndarray,
    *,
    stride: int,
    prediction_steps: int = 0,
    skip_steps: int = 0,
) -> bytes:
    """A view beside its overlapping patches, and what predicts what.

    Args:
      view: [height, width, channels], on the same scale as the patches.
      patches: [rows, columns, side, side, channels].
      stride: pixels from one patch to the next.
      prediction_steps: K; with K > 0 one anchor patch and its targets are
        outlined.
      skip_steps: rows left out between the anchor and its first target.

    Raises:
      DataError: the shapes are not those of a view and its patches.
    """
    if view.ndim != 3 or patches.ndim != 5 or not patches.size:
        raise DataError(
            "Expected a view [height, width, channels] and patches [rows, "
            "columns, side, side, channels], received shapes "
            f"{list(view.shape)} and {list(patches.shape)}."
        )
    rows, columns, side = patches.shape[:3]
    low, high = float(view.min()), float(view.max())
    figure, (left, right) = style.new_figure(4.7, 2)
    for ax in (left, right):
        ax.grid(visible=False)
        ax.set_axis_off()
    left.imshow(rgb(to_pixels(view, low=low, high=high)))
    flat = rgb(to_pixels(patches, low=low, high=high)).reshape(
        rows * columns, side, side, 3
    )
    gap = max(1, side // 6)
    right.imshow(tile(flat, columns=columns, gap=gap))
    style.label(left, title=f"One view, {view.shape[0]} x {view.shape[1]}")
    style.label(
        right,
        title=f"Its {rows} x {columns} patches of {side} x {side}, "
        f"every {stride} pixels",
    )
    marks = _marks(rows, columns, prediction_steps, skip_steps)
    for (row, column), colour, text in marks:
        _outline(left, (row * stride, column * stride), side, colour, "")
        corner = (gap + row * (side + gap), gap + column * (side + gap))
        _outline(right, corner, side, colour, text)
    return style.png(figure)


def tile(pictures: np.ndarray, *, columns: int, gap: int) -> np.ndarray:
    """One white sheet of all pictures, row by row, a gap around each.

    Args:
      pictures: uint8 [n, height, width, 3].
      columns: pictures a row.
      gap: pixels between two, and at the border.
    """
    count, height, width, channels = pictures.shape
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    sheet = np.full(
        (
            rows * (height + gap) + gap,
            columns * (width + gap) + gap,
            channels,
        ),
        255,
        np.uint8,
    )
    for index, picture in enumerate(pictures):
        top = gap + index // columns * (height + gap)
        left = gap + index % columns * (width + gap)
        sheet[top : top + height, left : left + width] = picture
    return sheet


def rgb(pixels: np.ndarray) -> np.ndarray:
    """Repeats a single channel: [..., 1] or [..., 3] -> [..., 3]."""
    return np.broadcast_to(pixels, (*pixels.shape[:-1], 3))


def encode_png(pixels: np.ndarray) -> bytes:
    """PNG bytes of uint8 [height, width, 3]."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format="png")
    return buffer.getvalue()


def _marks(
    rows: int, columns: int, prediction_steps: int, skip_steps: int
) -> Sequence[tuple[tuple[int, int], str, str]]:
    """((row, column), colour, text) of the anchor and of its targets."""
    if prediction_steps < 1:
        return []
    reach = prediction_steps + skip_steps
    top, column = max(0, (rows - 1 - reach) // 2), columns // 2
    rows_below = range(top + skip_steps + 1, min(rows, top + reach + 1))
    return [((top, column), ANCHOR, "anchor")] + [
        ((row, column), TARGET, f"k = {k}")
        for k, row in enumerate(rows_below, start=1)
    ]


def _outline(
    ax: Axes, corner: tuple[int, int], side: int, colour: str, text: str
) -> None:
    top, left = corner
    ax.add_patch(
        Rectangle(
            (left - 0.5, top - 0.5),
            side,
            side,
            fill=False,
            edgecolor=colour,
            linewidth=2.5,
        )
    )
    if text:
        ax.text(
            left + side / 2 - 0.5,
            top + side - 1.0,
            text,
            ha="center",
            va="bottom",
            fontsize=7.5,
            color="black",
            bbox={"facecolor": colour, "edgecolor": "none", "pad": 1.0},
        )
