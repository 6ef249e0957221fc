"""Probes of sequences: of each frame's label, and of each window's class.

Löwe et al. (2019), section 4.2: phones from single frames of whole utterances,
speakers from the mean over a window; here for every module. A *voice* is the
class of a whole recording.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from gim_tf.errors import DataError
from gim_tf.probes.linear_probe import LinearHead, fit_linear_probe, top1

EncodeFrames = Callable[[tf.Tensor], Mapping[str, tf.Tensor]]
"""Samples [b, n] -> {"module_1": [b, t, d], ...}, one frame every 10 ms."""

_BATCH = 16  # windows that are encoded at once


class Sequence(NamedTuple):
    """One recording.

    Attributes:
      samples: [n] float32.
      voice: its class; -1 where it has none.
      labels: [l] int64, one a frame; empty where there are none.
    """

    samples: np.ndarray
    voice: int
    labels: np.ndarray


class Rows(NamedTuple):
    """Features of frames or windows, by name, and what is known of each.

    Attributes:
      features: name -> [n, d] float32.
      labels: [n] int64, what is to be told from the features.
      voices: [n] int64.
      recordings: [n] int64, position of the recording that a row is of.
    """

    features: dict[str, np.ndarray]
    labels: np.ndarray
    voices: np.ndarray
    recordings: np.ndarray


class FrameScores(NamedTuple):
    """Top-1 accuracies on frames, in [0, 1].

    Attributes:
      top1: fitted on all voices.
      held_out_voice_top1: each voice scored by a probe that was fitted on
        voices of other groups; None with a single voice.
      head: the probe that was fitted on all voices.
      predicted: [n] int64, its predictions on the test split.
    """

    top1: float
    held_out_voice_top1: float | None
    head: LinearHead
    predicted: np.ndarray

    def accuracies(self) -> dict[str, float | None]:
        """By public key; "linear_top1" is the one to look at."""
        return {
            "linear_top1": self.top1,
            "held_out_voice_top1": self.held_out_voice_top1,
        }


class WindowScores(NamedTuple):
    """Top-1 accuracies on windows and on whole recordings, in [0, 1].

    Attributes:
      top1: a window from its mean over time.
      stats_top1: a window from its mean and deviation over time.
      recording_top1: a recording, by the summed log-probabilities of its
        windows, each from its mean.
      recording_stats_top1: likewise, each from mean and deviation.
      whole_stats_top1: a recording from one vector, the mean and deviation
        over all of its windows; fitted on such vectors.
      head: the probe of means.
      predicted: [n] int64, its predictions on the test split's windows.
    """

    top1: float
    stats_top1: float
    recording_top1: float
    recording_stats_top1: float
    whole_stats_top1: float
    head: LinearHead
    predicted: np.ndarray

    def accuracies(self) -> dict[str, float | None]:
        """By public key; "linear_top1" is the one to look at."""
        return {
            "linear_top1": self.top1,
            "linear_stats_top1": self.stats_top1,
            "recording_top1": self.recording_top1,
            "recording_stats_top1": self.recording_stats_top1,
            "whole_stats_top1": self.whole_stats_top1,
        }


class Fit(NamedTuple):
    """How probes are fitted; see `fit_linear_probe`."""

    num_classes: int
    epochs: int
    batch_size: int
    learning_rate: float
    l2: float
    seed: int

    def __call__(self, features: np.ndarray, labels: np.ndarray) -> LinearHead:
        """The probe of features [n, d] and labels [n]."""
        return fit_linear_probe(features, labels, **self._asdict())


def pair(
    num_frames: int, num_labels: int, *, lead: int, alignment: str
) -> tuple[slice, slice]:
    """Which frames belong to which labels, in equal number.

    Args:
      num_frames: of the recording.
      num_labels: likewise.
      lead: number of the frame that stands nearest to label 0; below 0: that
        many labels stand before frame 0.
      alignment: "end": the last label is the last frame's; "centre": label 0
        is that of frame `lead`.

    Returns:
      A slice of the frames and one of the labels.
    """
    if alignment == "end":
        count = min(num_frames, num_labels)
        return (
            slice(num_frames - count, num_frames),
            slice(num_labels - count, num_labels),
        )
    frame, label = max(lead, 0), max(-lead, 0)
    count = max(min(num_frames - frame, num_labels - label), 0)
    return slice(frame, frame + count), slice(label, label + count)


def collect_frames(
    encode: EncodeFrames,
    sequences: Iterable[Sequence],
    *,
    lead: int,
    alignment: str,
    share: float = 1.0,
    seed: int = 0,
) -> Rows:
    """Encodes whole recordings, one at a time, and keeps labelled frames.

    Args:
      encode: frozen.
      sequences: those without labels are left out.
      lead: see `pair`.
      alignment: see `pair`.
      share: of the frames that are kept, drawn evenly.
      seed: of that draw.

    Raises:
      DataError: no labelled frame.
    """
    draw = np.random.default_rng(seed)
    found = _Collected()
    for index, one in enumerate(sequences):
        if not len(one.labels):
            continue
        outputs = encode(tf.constant(one.samples[None]))
        num_frames = int(next(iter(outputs.values())).shape[1])
        frames, labels = pair(
            num_frames, len(one.labels), lead=lead, alignment=alignment
        )
        chosen = one.labels[labels]
        kept = draw.random(len(chosen)) < share
        found.add(
            {name: x[0].numpy()[frames][kept] for name, x in outputs.items()},
            labels=chosen[kept],
            voice=one.voice,
            recording=index,
        )
    return found.rows("labels of frames")


def collect_windows(
    encode: EncodeFrames, sequences: Iterable[Sequence], *, length: int
) -> Rows:
    """Encodes consecutive windows, each on its own; the rest is left out.

    Features are mean and deviation over time, [n, 2 d]: see `means`.

    Args:
      encode: frozen.
      sequences: those shorter than a window or without a voice are left out.
      length: samples of a window.

    Raises:
      DataError: no window.
    """
    found = _Collected()
    for index, one in enumerate(sequences):
        count = len(one.samples) // length
        if one.voice < 0 or not count:
            continue
        windows = one.samples[: count * length].reshape(count, length)
        parts = [
            _statistics(encode(tf.constant(windows[i : i + _BATCH])))
            for i in range(0, count, _BATCH)
        ]
        found.add(
            {k: np.concatenate([p[k] for p in parts]) for k in parts[0]},
            labels=np.full(count, one.voice),
            voice=one.voice,
            recording=index,
        )
    return found.rows("windows of known voices")


def means(features: np.ndarray) -> np.ndarray:
    """The means of what `collect_windows` gives: [n, 2 d] -> [n, d]."""
    return features[:, : features.shape[1] // 2]


def score_frames(
    train: Rows, test: Rows, fit: Fit, *, folds: int
) -> dict[str, FrameScores]:
    """Fits a probe of frames a name, on all voices and on all but a group's.

    Args:
      train: what the probes are fitted on.
      test: what they are scored on.
      fit: how.
      folds: groups of voices, at most the number of voices.
    """
    return {
        name: _score_frames(
            features, test.features[name], train, test, fit, folds
        )
        for name, features in train.features.items()
    }


def whole(rows: Rows) -> Rows:
    """One row a recording, as if its windows were one: `collect_windows`' rows.

    Mean and deviation over all frames of its windows, which are equally long.
    """
    recordings, first, index = np.unique(
        rows.recordings, return_index=True, return_inverse=True
    )
    counts = np.bincount(index)[:, None]

    def average(values: np.ndarray) -> np.ndarray:
        sums = np.zeros((len(recordings), values.shape[1]))
        np.add.at(sums, index, values.astype(np.float64))
        return sums / counts

    def joined(features: np.ndarray) -> np.ndarray:
        mean, deviation = np.split(features, 2, axis=1)
        squares = np.square(mean, dtype=np.float64) + np.square(deviation)
        overall = average(mean)
        variance = np.maximum(average(squares) - overall**2, 0.0)
        pair = np.concatenate([overall, np.sqrt(variance)], 1)
        return pair.astype(np.float32)

    return Rows(
        {name: joined(values) for name, values in rows.features.items()},
        rows.labels[first],
        rows.voices[first],
        recordings,
    )


def score_windows(train: Rows, test: Rows, fit: Fit) -> dict[str, WindowScores]:
    """Fits three probes of windows a name; see `WindowScores`."""
    scores = {}
    whole_train, whole_test = whole(train), whole(test)
    # About as many steps, of fewer rows.
    passes = round(fit.epochs * len(train.labels) / len(whole_train.labels))
    fit_whole = fit._replace(epochs=passes)
    for name, features in train.features.items():
        head = fit(means(features), train.labels)
        logits = head.logits(means(test.features[name]))
        by_stats = fit(features, train.labels).logits(test.features[name])
        of_whole = fit_whole(whole_train.features[name], whole_train.labels)
        told = of_whole.predict(whole_test.features[name])
        scores[name] = WindowScores(
            top1=top1(logits.argmax(1), test.labels),
            stats_top1=top1(by_stats.argmax(1), test.labels),
            recording_top1=_recording_top1(logits, test),
            recording_stats_top1=_recording_top1(by_stats, test),
            whole_stats_top1=top1(told, whole_test.labels),
            head=head,
            predicted=logits.argmax(1),
        )
    return scores


class _Collected:
    """Rows of one recording after the other."""

    def __init__(self) -> None:
        self._features: dict[str, list[np.ndarray]] = {}
        self._labels: list[np.ndarray] = []
        self._voices: list[np.ndarray] = []
        self._recordings: list[np.ndarray] = []

    def add(
        self,
        features: Mapping[str, np.ndarray],
        *,
        labels: np.ndarray,
        voice: int,
        recording: int,
    ) -> None:
        for name, values in features.items():
            self._features.setdefault(name, []).append(values)
        self._labels.append(labels)
        self._voices.append(np.full(len(labels), voice))
        self._recordings.append(np.full(len(labels), recording))

    def rows(self, what: str) -> Rows:
        if not sum(map(len, self._labels)):
            raise DataError(f"The probe's split has no {what}.")
        # A signature returns its outputs in no order.
        names = sorted(self._features, key=lambda name: (len(name), name))
        return Rows(
            {name: np.concatenate(self._features.pop(name)) for name in names},
            np.concatenate(self._labels),
            np.concatenate(self._voices),
            np.concatenate(self._recordings),
        )


def _statistics(frames: Mapping[str, tf.Tensor]) -> dict[str, np.ndarray]:
    """Mean and deviation over time: [b, t, d] -> [b, 2 d]."""
    return {
        name: tf.concat(
            [tf.reduce_mean(x, 1), tf.math.reduce_std(x, 1)], -1
        ).numpy()
        for name, x in frames.items()
    }


def _score_frames(
    train_features: np.ndarray,
    test_features: np.ndarray,
    train: Rows,
    test: Rows,
    fit: Fit,
    folds: int,
) -> FrameScores:
    head = fit(train_features, train.labels)
    predicted = head.predict(test_features)
    voices = np.unique(train.voices)
    unheard = np.full(len(test.labels), -1)
    for fold in range(min(folds, len(voices)) if len(voices) > 1 else 0):
        left_out = voices[fold::folds]
        heard = ~np.isin(train.voices, left_out)
        rows = np.isin(test.voices, left_out)
        if rows.any():
            other = fit(train_features[heard], train.labels[heard])
            unheard[rows] = other.predict(test_features[rows])
    scored = unheard >= 0
    return FrameScores(
        top1=top1(predicted, test.labels),
        held_out_voice_top1=(
            top1(unheard[scored], test.labels[scored]) if scored.any() else None
        ),
        head=head,
        predicted=predicted,
    )


def _recording_top1(logits: np.ndarray, rows: Rows) -> float:
    log_probabilities = tf.nn.log_softmax(logits).numpy()
    recordings, index = np.unique(rows.recordings, return_inverse=True)
    sums = np.zeros((len(recordings), logits.shape[1]))
    np.add.at(sums, index, log_probabilities)
    voices = np.zeros(len(recordings), np.int64)
    voices[index] = rows.labels
    return top1(sums.argmax(1), voices)
