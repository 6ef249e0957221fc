"""How good a depth is: by labels that decide, and by the test split.

To stop growing is to select a model. What decides is a part of the labelled
training split that the deciding probe is not fitted on; the test split is
scored beside it and decides nothing.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gim_tf.config import Experiment, ProbeConfig
from gim_tf.export.saved_model import load_encoder, signature_function
from gim_tf.jobs import probing_examples, probing_sequences
from gim_tf.probes.evaluation import fit as fit_examples
from gim_tf.probes.linear_probe import LinearHead, top1
from gim_tf.probes.sequences import means

DECIDING_SHARE = 0.2
"""Of the labelled training split: examples, recordings or windows."""


class Scores(NamedTuple):
    """Linear probes of one module, top-1 accuracies in [0, 1].

    Attributes:
      task: what was probed.
      deciding_top1: fitted on most of the training split, scored on the rest.
      deciding_count: labels that it was scored on.
      test_top1: fitted on all of the training split, scored on the test split.
    """

    task: str
    deciding_top1: float
    deciding_count: int
    test_top1: float

    @property
    def standard_error(self) -> float:
        """Of `deciding_top1`, if its labels are independent."""
        share = self.deciding_top1
        return float(np.sqrt(share * (1 - share) / self.deciding_count))


class _Split(NamedTuple):
    """Features of one module [n, d], and [n] labels."""

    features: np.ndarray
    labels: np.ndarray

    def take(self, rows: np.ndarray) -> "_Split":
        return _Split(self.features[rows], self.labels[rows])


def score_last_module(
    experiment: Experiment,
    model_dir: str | Path,
    train_files: Sequence[str],
    test_files: Sequence[str],
) -> Scores:
    """Probes the last module of an export, by the first task.

    Args:
      experiment: names the probe and its seed.
      model_dir: the export; it is what is probed.
      train_files: TFRecord files of the labelled training split.
      test_files: likewise of the test split.
    """
    encoder = load_encoder(model_dir)
    of_kind = (
        _of_examples
        if isinstance(experiment.probe, ProbeConfig)
        else _of_sequences
    )
    return of_kind(experiment, encoder, train_files, test_files)


def deciding_rows(groups: np.ndarray, seed: int) -> np.ndarray:
    """Which rows decide: [n] bool; rows of one group stay together.

    Args:
      groups: [n], of each row.
      seed: of the draw.
    """
    known = np.unique(groups)
    count = max(1, round(DECIDING_SHARE * len(known)))
    drawn = np.random.default_rng(seed).permutation(known)[:count]
    return np.isin(groups, drawn)


def _of_examples(
    experiment: Experiment,
    encoder: Any,
    train_files: Sequence[str],
    test_files: Sequence[str],
) -> Scores:
    splits = probing_examples.Splits(experiment, train_files, test_files)
    found = splits.represent(
        signature_function(encoder, "grid"), with_grid=False
    )
    name = list(found.train.pooled)[-1]
    train, test = (_Split(s.pooled[name], s.labels) for s in found)
    return _scores(
        "class",
        train,
        test,
        lambda x, labels: fit_examples(x, labels, splits.settings),
        deciding_rows(np.arange(len(train.labels)), splits.settings.seed),
    )


def _of_sequences(
    experiment: Experiment,
    encoder: Any,
    train_files: Sequence[str],
    test_files: Sequence[str],
) -> Scores:
    splits = probing_sequences.Splits(experiment, train_files, test_files)
    task = splits.probe.tasks[0]
    of_frames = task == "phone"
    settings = splits.probe.phone if of_frames else splits.probe.speaker
    measure = probing_sequences.measured(splits, task)
    found = measure.collect(
        probing_sequences.TRAINED, probing_sequences.exported(encoder)
    )
    name = list(found[0].features)[-1]
    train, test = (
        _Split(
            rows.features[name] if of_frames else means(rows.features[name]),
            rows.labels,
        )
        for rows in found
    )
    # A voice may have a single recording: its windows are what is divided.
    count = len(train.labels)
    groups = found[0].recordings if of_frames else np.arange(count)
    return _scores(
        task,
        train,
        test,
        splits.fit(settings, len(measure.names)).__call__,
        deciding_rows(groups, splits.seed),
    )


def _scores(
    task: str,
    train: _Split,
    test: _Split,
    fit: Callable[[np.ndarray, np.ndarray], LinearHead],
    decides: np.ndarray,
) -> Scores:
    deciding = train.take(decides)
    head = fit(*train.take(~decides))
    return Scores(
        task=task,
        deciding_top1=top1(head.predict(deciding.features), deciding.labels),
        deciding_count=len(deciding.labels),
        test_top1=top1(fit(*train).predict(test.features), test.labels),
    )
