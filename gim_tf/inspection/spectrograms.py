"""Recordings as the eye can read them: spectrograms, phones, targets."""

import math
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes

from gim_tf.data import spectra
from gim_tf.data.alignments import FIELD, HOP
from gim_tf.errors import DataError
from gim_tf.inspection import phones, style
from gim_tf.inspection.pictures import ANCHOR, TARGET, encode_png

TILE_SECONDS = 3.0  # of a recording, on a tile
RANGE = 60.0  # dB below the loudest; the rest is as dark as silence
COLOURS = "magma"

_COLUMNS = 2
_SECONDS = 3.0  # of an utterance; more phones would not have room for names
_DECIBELS = 10.0 / math.log(10.0)  # of a natural logarithm of an energy
_TILE_BAND = 4  # pixels of a tile's band; a frame has one
_TICKS = (500, 1000, 2000, 4000, 7000)  # Hz
_TINTS = dict(
    zip(
        phones.GROUPS,
        ("#f3f4f6", "#fde3b8", "#f7f0a8", "#c9ead9", "#c5e1f5", "#efcfe0"),
        strict=True,
    )
)
_PLAIN_TINTS = ("#e5e7eb", "#f3f4f6")  # of labels that are no phones
_WRONG = "#b3261e"
_CHARACTER = 0.011  # of the width, what a name needs for each of its letters


class Horizon(NamedTuple):
    """What a module predicts, in samples of the recording.

    Attributes:
      hop: between two of its frames.
      first: where its frame 0 stands.
      prediction_steps: K, the frames that it predicts from one.
      skip_steps: frames left out before the first of them.
    """

    hop: int
    first: float
    prediction_steps: int
    skip_steps: int = 0


class Strip(NamedTuple):
    """A row of labels under a spectrogram.

    Attributes:
      title: what the row is, at its left.
      labels: [t], label t about samples 160 t to 160 t + 400; negative ones
        are blank.
      truth: [t], where the labels differ from these they are marked as
        wrong; None: nothing is.
    """

    title: str
    labels: Sequence[int]
    truth: Sequence[int] | None = None


def spectrogram_grid(
    windows: np.ndarray, *, sample_rate: int = spectra.SAMPLE_RATE
) -> bytes:
    """Windows as log-mel spectrograms side by side, on one scale of colours.

    Args:
      windows: [w, n] in [-1, 1], n at least 400.
      sample_rate: in Hz.

    Raises:
      DataError: another shape, or too short a window.
    """
    decibels = to_decibels(windows, sample_rate)
    count = len(decibels)
    rows = -(-count // _COLUMNS)
    figure, axes = style.new_grid(
        [1.3] * rows, _COLUMNS, share_x=True, share_y=True
    )
    for index, (ax, levels) in enumerate(zip(axes, decibels, strict=False)):
        _draw_spectrogram(ax, levels, loudest_level(decibels), sample_rate)
        _write_inside(ax, f"window {index + 1}")
    for ax in axes[count:]:
        ax.set_visible(False)
    for index in range(0, count, _COLUMNS):
        style.label(axes[index], y="kHz")
    for ax in axes[-_COLUMNS:]:
        ax.set_xlabel("time (s)", color=style.INK, fontsize=10)
    for ax in axes[_COLUMNS - 1 : count : _COLUMNS]:
        _draw_scale(ax)
    return style.png(figure)


def utterance_picture(
    samples: np.ndarray,
    *,
    sample_rate: int = spectra.SAMPLE_RATE,
    strips: Sequence[Strip] = (),
    names: Sequence[str] = (),
    horizon: Horizon | None = None,
) -> bytes:
    """One recording: waveform, log-mel spectrogram, labels, predictions.

    Only its first seconds are shown, as many as leave room for names.

    Args:
      samples: [n] in [-1, 1], n at least 400.
      sample_rate: in Hz.
      strips: rows of labels below the spectrogram.
      names: one a label; none: its number is its name.
      horizon: of the module whose predictions are marked; None: none are.

    Raises:
      DataError: another shape, or too short.
    """
    samples = np.asarray(samples)
    if samples.ndim != 1:
        raise DataError(
            f"Expected one recording [n], received {list(samples.shape)}."
        )
    cut = samples[: round(_SECONDS * sample_rate)]
    levels = to_decibels(cut[None], sample_rate)[0]
    heights = [0.9, 2.2, *[0.36] * (len(strips) + bool(horizon))]
    figure, axes = style.new_grid(heights, share_x=True)
    _draw_waveform(axes[0], cut, sample_rate)
    _draw_spectrogram(axes[1], levels, loudest_level(levels), sample_rate)
    _draw_scale(axes[1])
    style.label(axes[1], y="kHz")
    for ax, strip in zip(axes[2:], strips, strict=False):
        _draw_strip(ax, strip, names, len(cut), sample_rate)
    if horizon:
        _draw_horizon(axes, horizon, len(cut), sample_rate)
    axes[-1].tick_params(labelbottom=True, length=3)
    axes[-1].spines["bottom"].set_visible(True)
    axes[0].set_xlim(0.0, len(cut) / sample_rate)
    whole = len(samples) / sample_rate
    is_whole = len(cut) == len(samples)
    more = "" if is_whole else f", the first {_SECONDS:g} of {whole:.1f}"
    axes[-1].set_xlabel(f"time (s){more}", color=style.INK, fontsize=10)
    return style.png(figure)


def spectrogram_tile(
    samples: np.ndarray, *, sample_rate: int = spectra.SAMPLE_RATE
) -> bytes:
    """A recording's first seconds as a bare log-mel spectrogram: a PNG.

    Tiles of one sample rate have the same size and scale of time: what is
    shorter ends in silence.

    Args:
      samples: [n] in [-1, 1], n at least 400.
      sample_rate: in Hz.

    Raises:
      DataError: another shape, or too short.
    """
    length = round(TILE_SECONDS * sample_rate)
    levels = to_decibels(np.asarray(samples)[None, :length], sample_rate)[0]
    frames = 1 + (length - FIELD) // HOP
    shares = np.zeros((frames, spectra.NUM_BANDS))
    shares[: len(levels)] = (levels - loudest_level(levels)) / RANGE + 1.0
    colours = matplotlib.colormaps[COLOURS](shares.T[::-1], bytes=True)
    return encode_png(colours[..., :3].repeat(_TILE_BAND, axis=0))


def to_decibels(windows: np.ndarray, sample_rate: int) -> np.ndarray:
    """Log-mel levels [w, t, bands] in dB of windows [w, n] in [-1, 1]."""
    windows = np.asarray(windows, np.float32)
    if windows.ndim != 2 or not len(windows) or windows.shape[1] < FIELD:
        raise DataError(
            f"Expected recordings [w, n] of at least {FIELD} samples, received "
            f"{list(windows.shape)}."
        )
    energies = spectra.log_mel(windows, sample_rate=sample_rate).numpy()
    return energies * _DECIBELS


def loudest_level(levels: np.ndarray) -> float:
    """The level of the brightest colour, such that silence is never bright."""
    silence = _DECIBELS * math.log(spectra.FLOOR)
    return max(float(levels.max()), silence + RANGE)


def label_tint(name: str, index: int) -> str:
    """The colour behind a label: of its group if it is a phone.

    Args:
      name: of the label.
      index: of the run of labels; others alternate.
    """
    return _TINTS.get(phones.group(name), _PLAIN_TINTS[index % 2])


def _draw_spectrogram(
    ax: Axes, levels: np.ndarray, loudest: float, sample_rate: int
) -> None:
    """Frames [t, bands] in dB, each as wide as a hop around its middle."""
    edges = _edge(0, sample_rate), _edge(len(levels), sample_rate)
    ax.grid(visible=False)
    ax.imshow(
        levels.T - loudest,
        cmap=COLOURS,
        vmin=-RANGE,
        vmax=0.0,
        aspect="auto",
        origin="lower",
        interpolation="nearest",
        extent=(*edges, -0.5, spectra.NUM_BANDS - 0.5),
    )
    ticks = [hertz for hertz in _TICKS if hertz < spectra.HIGHEST * sample_rate]
    places = spectra.band_of(np.array(ticks), sample_rate=sample_rate)
    ax.set_yticks(places, [f"{hertz / 1000:g}" for hertz in ticks])


def _draw_scale(ax: Axes) -> None:
    """The colours of a spectrogram at its right, without moving it."""
    place = ax.inset_axes((1.015, 0.0, 0.015, 1.0))
    bar = ax.figure.colorbar(ax.images[0], cax=place)
    bar.set_ticks([-RANGE, -RANGE / 2, 0.0])
    place.set_frame_on(False)
    place.tick_params(colors=style.MUTED, labelsize=8.5, length=0)
    bar.set_label("dB", color=style.INK, fontsize=9)


def _draw_waveform(ax: Axes, samples: np.ndarray, sample_rate: int) -> None:
    time = np.arange(len(samples)) / sample_rate
    ax.plot(time, samples, color=style.MODULE_COLOURS[0], linewidth=0.5)
    limit = 1.1 * max(float(np.abs(samples).max()), 1e-3)
    ax.set_ylim(-limit, limit)
    ax.set_yticks([0.0])
    ax.tick_params(labelleft=False, labelbottom=False, length=0)
    ax.spines[["left", "bottom"]].set_visible(False)


def _draw_strip(
    ax: Axes,
    strip: Strip,
    names: Sequence[str],
    num_samples: int,
    sample_rate: int,
) -> None:
    """Runs of equal labels as boxes, with names where there is room."""
    _clear(ax, strip.title)
    labels = np.asarray(strip.labels, np.int64)
    labels = labels[: max(0, 1 + (num_samples - FIELD) // HOP)]
    truth = np.asarray(labels if strip.truth is None else strip.truth)
    truth = truth[: len(labels)]
    wrong = (truth != labels) & (truth >= 0)
    width = num_samples / sample_rate
    runs = groupby(range(len(labels)), key=lambda t: (labels[t], wrong[t]))
    for index, ((label, is_wrong), frames) in enumerate(runs):
        if label < 0:
            continue
        first, *rest = frames
        left = _edge(first, sample_rate)
        right = _edge(first + len(rest) + 1, sample_rate)
        name = names[label] if len(names) else str(label)
        tint = label_tint(name, index)
        ax.axvspan(left, right, facecolor=tint, edgecolor="white", lw=0.6)
        if is_wrong:
            ax.axvspan(left, right, ymax=0.14, facecolor=_WRONG)
        if right - left >= _CHARACTER * width * len(name):
            ax.text(
                (left + right) / 2,
                0.52,
                name,
                ha="center",
                va="center",
                fontsize=7.5,
                color=_WRONG if is_wrong else style.INK,
                parse_math=False,
                clip_on=True,
            )


def _draw_horizon(
    axes: Sequence[Axes], horizon: Horizon, num_samples: int, sample_rate: int
) -> None:
    """Marks a frame in the middle, and those that are predicted from it.

    Args:
      axes: of the waveform, the spectrogram, and last a row for the marks.
      horizon: see there.
      num_samples: that are shown.
      sample_rate: in Hz.
    """
    waveform, spectrogram, *_, row = axes
    reach = horizon.prediction_steps + horizon.skip_steps
    count = int((num_samples - horizon.first) // horizon.hop)
    anchor = max(0, (count - 1 - reach) // 2)
    targets = range(anchor + horizon.skip_steps + 1, anchor + reach + 1)

    def edge(frame: int) -> float:
        return (horizon.first + (frame - 0.5) * horizon.hop) / sample_rate

    _clear(row, "predicts")
    for frames, colour in (([anchor], ANCHOR), (targets, TARGET)):
        ends = edge(frames[0]), edge(frames[-1] + 1)
        waveform.axvspan(*ends, facecolor=colour, alpha=0.45)
        # White: both colours are among those of the spectrogram.
        spectrogram.axvspan(*ends, fill=False, edgecolor="white", lw=1.2)
        for frame in frames:
            row.axvspan(
                edge(frame),
                edge(frame + 1),
                facecolor=colour,
                edgecolor="white",
                lw=0.3,
            )
    steps = horizon.prediction_steps
    last = "k = 1" if steps == 1 else f"k = 1 to {steps}"
    for place, text, side in (
        (edge(anchor), "anchor  ", "right"),
        (edge(targets[-1] + 1), f"  {last}", "left"),
    ):
        row.text(
            place, 0.5, text, ha=side, va="center", fontsize=8.5, clip_on=True
        )


def _clear(ax: Axes, title: str) -> None:
    """An empty row with its name at the left."""
    ax.grid(visible=False)
    ax.set_ylim(0.0, 1.0)
    ax.set_yticks([])
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.tick_params(labelbottom=False, length=0)
    ax.set_ylabel(
        title, rotation=0, ha="right", va="center", color=style.INK, fontsize=9
    )


def _write_inside(ax: Axes, text: str) -> None:
    ax.annotate(
        text,
        (0.0, 1.0),
        xycoords="axes fraction",
        xytext=(5, -5),
        textcoords="offset points",
        va="top",
        color="white",
        fontsize=8.5,
    )


def _edge(frame: int, sample_rate: int) -> float:
    """Seconds at the border of frames `frame - 1` and `frame`."""
    return (HOP * frame + (FIELD - HOP) / 2) / sample_rate
