"""Sheets of what excites single neurons most, as PNG bytes.

A block a module, a row a neuron, a cell a position, the most exciting first.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple, TypeVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from gim_tf.data import spectra
from gim_tf.data.alignments import FIELD, HOP
from gim_tf.inspection import spectrograms, style
from gim_tf.inspection.curves import module_title
from gim_tf.inspection.neurons import Neuron, by_module
from gim_tf.inspection.pictures import ANCHOR, rgb

_Cell = TypeVar("_Cell")

WINDOW_SECONDS = 0.4  # of a recording, in a cell

# Inches.
_LABELS = 1.25  # the width of the rows' names
_TOP, _TITLE, _CAPTION, _STRIP = 0.76, 0.46, 0.2, 0.2
_GAP = 0.16  # between two cells, at most this share of a cell
_SPECTROGRAM = 0.55

_ANSWERS = "Below a neuron's name: its answers to the first and last of these"


class PatchCell(NamedTuple):
    """A patch, and where it lies.

    Attributes:
      view: uint8 [height, width, 1 or 3], all that the network read.
      top: first row of the patch; it may reach beyond the view on all sides.
      left: first column of the patch, likewise.
      side: of the patch, in pixels.
      caption: a few words, such as the class.
    """

    view: np.ndarray
    top: int
    left: int
    side: int
    caption: str

    @property
    def patch(self) -> np.ndarray:
        """uint8 [side, side, 1 or 3], black beyond the view."""
        margin = [(self.side, self.side)] * 2
        padded = np.pad(self.view, [*margin, (0, 0)])
        top, left = self.top + self.side, self.left + self.side
        return padded[top : top + self.side, left : left + self.side]

    @property
    def outline(self) -> tuple[int, int, int, int]:
        """(top, left, height, width) of what of it is in the view."""
        (top, height), (left, width) = (
            (max(first, 0), min(first + self.side, length) - max(first, 0))
            for first, length in zip(
                (self.top, self.left), self.view.shape, strict=False
            )
        )
        return top, left, height, width


class SequenceCell(NamedTuple):
    """A moment of a recording.

    Attributes:
      samples: [n] in [-1, 1], the whole recording, n at least 400.
      labels: [l], label t about samples 160 t to 160 t + 400; none: empty.
      start: first sample that the frame reads itself.
      stop: end of these samples, exclusive.
    """

    samples: np.ndarray
    labels: Sequence[int]
    start: int
    stop: int

    def shown(self, sample_rate: int) -> range:
        """Spectrogram frames around the middle of what is read.

        Frame t is about samples 160 t to 160 t + 400, as label t is.
        """
        count = round(WINDOW_SECONDS * sample_rate / HOP)
        last = 1 + (len(self.samples) - FIELD) // HOP
        middle = (self.start + self.stop - FIELD) / 2 / HOP
        first = round(middle - (count - 1) / 2)
        first = max(0, min(first, last - count))
        return range(first, min(first + count, last))


def patch_sheet(
    found: Sequence[Neuron],
    cells: Sequence[Sequence[PatchCell]],
    *,
    split: str,
    notes: Mapping[str, str] | None = None,
) -> bytes:
    """Each neuron's patches, and beside each the view with its outline.

    Args:
      found: the neurons.
      cells: of each neuron, a cell for each of its hits.
      split: whose examples were looked at.
      notes: by module, what should be known of it.
    """
    place = _places(found)
    side = (place.width - 0.06) / 2
    heading = (
        f"What excites single neurons most, in the split {split!r}",
        "Left of each pair: one of the patches that excite the neuron most, "
        "enlarged. Right: the picture that it is cut from, with its class.",
        f"{_ANSWERS} patches; their mean is over all patches of the split.",
    )

    def draw(ax: Axes, cell: PatchCell, left: float, top: float) -> None:
        _show(ax, rgb(cell.patch), left, top, side)
        inner = left + side + 0.06
        _show(ax, rgb(cell.view), inner, top, side)
        scale = side / len(cell.view)
        first, begin, height, width = (n * scale for n in cell.outline)
        _outline(ax, (inner + begin, top + first), width, height, ANCHOR, 1.6)
        _write(ax, inner, top + side + 0.1, cell.caption)

    return _sheet(
        found, cells, place, side + _CAPTION, heading, draw, notes or {}
    )


def sequence_sheet(
    found: Sequence[Neuron],
    cells: Sequence[Sequence[SequenceCell]],
    *,
    split: str,
    sample_rate: int,
    names: Sequence[str] = (),
    notes: Mapping[str, str] | None = None,
) -> bytes:
    """Each neuron's moments as spectrograms, with the labels spoken there.

    Args:
      found: the neurons.
      cells: of each neuron, a cell for each of its hits.
      split: whose examples were looked at.
      sample_rate: in Hz.
      names: one a label; none: its number is its name.
      notes: by module, what should be known of it.
    """
    place = _places(found)
    levels = {
        id(cell): _levels(cell, sample_rate) for row in cells for cell in row
    }
    loudest = spectrograms.loudest_level(
        np.concatenate([shown.ravel() for shown in levels.values()])
    )
    has_labels = any(len(cell.labels) for row in cells for cell in row)
    spoken = " Below it: what is spoken." if has_labels else ""
    heading = (
        f"What excites single neurons most, in the split {split!r}",
        f"{WINDOW_SECONDS:g} s around each moment as a log-mel spectrogram, up "
        f"to {spectra.HIGHEST * sample_rate / 1000:g} kHz; the white frame is "
        f"what the neuron reads.{spoken}",
        f"{_ANSWERS} moments; their mean is over all moments of the split.",
    )
    count = round(WINDOW_SECONDS * sample_rate / HOP)

    def draw(ax: Axes, cell: SequenceCell, left: float, top: float) -> None:
        shown = cell.shown(sample_rate)
        scale = place.width / count / HOP
        origin = HOP * shown.start + (FIELD - HOP) / 2

        def across(sample: float) -> float:
            inside = min(max(sample - origin, 0), len(shown) * HOP)
            return left + inside * scale

        picture = (levels[id(cell)] - loudest) / spectrograms.RANGE + 1.0
        ax.imshow(
            picture.T,
            cmap=spectrograms.COLOURS,
            vmin=0.0,
            vmax=1.0,
            origin="lower",
            interpolation="nearest",
            aspect="auto",
            extent=(
                left,
                left + len(shown) * HOP * scale,
                top + _SPECTROGRAM,
                top,
            ),
        )
        begin, end = across(cell.start), across(cell.stop)
        _outline(ax, (begin, top), end - begin, _SPECTROGRAM, "white", 1.1)
        _draw_labels(ax, cell.labels, shown, names, across, top + _SPECTROGRAM)

    height = _SPECTROGRAM + (_STRIP if has_labels else 0.0) + 0.1
    return _sheet(found, cells, place, height, heading, draw, notes or {})


class _Places(NamedTuple):
    """Where cells stand, in inches."""

    width: float  # of a cell
    step: float  # from one to the next


def _places(found: Sequence[Neuron]) -> _Places:
    columns = max(len(neuron.hits) for neuron in found)
    step = (style.WIDTH - _LABELS - 0.1) / columns
    # A single cell would fill the sheet.
    step = min(step, (style.WIDTH - _LABELS) / 3)
    return _Places(step - min(_GAP, 0.15 * step), step)


def _sheet(
    found: Sequence[Neuron],
    cells: Sequence[Sequence[_Cell]],
    place: _Places,
    row_height: float,
    heading: tuple[str, str, str],
    draw: Callable[[Axes, _Cell, float, float], None],
    notes: Mapping[str, str],
) -> bytes:
    blocks = by_module(found)
    rows = dict(zip([(n.module, n.channel) for n in found], cells, strict=True))
    height = _TOP + len(blocks) * _TITLE + len(found) * row_height + 0.05
    figure, ax = style.new_sheet(height)
    _write(ax, 0.1, 0.2, heading[0], size=12, bold=True)
    for line, text in enumerate(heading[1:]):
        middle = 0.45 + 0.18 * line
        _write(ax, 0.1, middle, text, colour=style.MUTED, size=9)
    top = _TOP
    for module, neurons in blocks.items():
        title = module_title(module).capitalize()
        colour = style.module_colour(module)
        middle = top + 0.28
        ax.add_patch(
            Rectangle((0.1, middle - 0.09), 0.08, 0.18, facecolor=colour)
        )
        _write(ax, 0.26, middle, title, size=11, bold=True)
        _write(
            ax,
            _LABELS,
            middle,
            notes.get(module, ""),
            colour=style.MUTED,
            size=9,
        )
        top += _TITLE
        for neuron in neurons:
            _label(ax, neuron, top)
            for index, cell in enumerate(rows[module, neuron.channel]):
                draw(ax, cell, _LABELS + index * place.step, top)
            top += row_height
    return style.png(figure)


def _label(ax: Axes, neuron: Neuron, top: float) -> None:
    best, last = neuron.hits[0].activation, neuron.hits[-1].activation
    # Three digits of the largest, and of the others as many behind the point.
    digits = 2 - math.floor(math.log10(max(abs(best), abs(last), 1e-6)))
    words = [
        f"{round(value, digits) + 0.0:.{max(digits, 0)}f}"
        for value in (best, last, neuron.mean)
    ]
    _write(ax, 0.1, top + 0.13, f"neuron {neuron.channel}", size=9.5)
    for line, text in enumerate(
        (f"{words[0]} to {words[1]}", f"mean {words[2]}"), start=1
    ):
        middle = top + 0.13 + 0.16 * line
        _write(ax, 0.1, middle, text, colour=style.MUTED, size=8)


def _levels(cell: SequenceCell, sample_rate: int) -> np.ndarray:
    """[t, bands] in dB of the frames that are shown."""
    shown = cell.shown(sample_rate)
    stop = HOP * (shown.stop - 1) + FIELD
    cut = np.asarray(cell.samples)[HOP * shown.start : stop]
    return spectrograms.to_decibels(cut[None], sample_rate)[0]


def _draw_labels(
    ax: Axes,
    labels: Sequence[int],
    shown: range,
    names: Sequence[str],
    across: Callable[[float], float],
    top: float,
) -> None:
    """Runs of equal labels as boxes, with names where there is room."""
    frames = [t for t in shown if t < len(labels) and labels[t] >= 0]
    runs = groupby(frames, key=lambda t: labels[t])
    for index, (label, run) in enumerate(runs):
        first, *rest = run
        begin = across(HOP * first + (FIELD - HOP) / 2)
        end = across(HOP * (first + len(rest) + 1) + (FIELD - HOP) / 2)
        name = names[label] if len(names) else str(label)
        ax.add_patch(
            Rectangle(
                (begin, top),
                end - begin,
                _STRIP,
                facecolor=spectrograms.label_tint(name, index),
                edgecolor="white",
                linewidth=0.6,
            )
        )
        if end - begin >= 0.075 * len(name) + 0.02:
            _write(
                ax,
                (begin + end) / 2,
                top + _STRIP / 2,
                name,
                size=7.5,
                align="center",
            )


def _show(
    ax: Axes, pixels: np.ndarray, left: float, top: float, side: float
) -> None:
    ax.imshow(
        pixels,
        interpolation="nearest",
        aspect="auto",
        extent=(left, left + side, top + side, top),
    )


def _outline(
    ax: Axes,
    corner: tuple[float, float],
    width: float,
    height: float,
    colour: str,
    line: float,
) -> None:
    ax.add_patch(
        Rectangle(
            corner,
            width,
            height,
            fill=False,
            edgecolor=colour,
            linewidth=line,
        )
    )


def _write(
    ax: Axes,
    left: float,
    middle: float,
    text: str,
    *,
    colour: str = style.INK,
    size: float = 8,
    bold: bool = False,
    align: str = "left",
) -> None:
    ax.text(
        left,
        middle,
        text,
        color=colour,
        fontsize=size,
        fontweight="bold" if bold else "normal",
        ha=align,
        va="center",
        parse_math=False,
    )
