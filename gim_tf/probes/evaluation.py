"""All probes of all modules, from representations to accuracies."""

from typing import NamedTuple

import numpy as np

from gim_tf.probes.knn import knn_predict
from gim_tf.probes.linear_probe import LinearHead, fit_linear_probe, top1
from gim_tf.probes.representations import Representations


class ProbeSettings(NamedTuple):
    """How probes are fitted; see `fit_linear_probe` and `knn_predict`."""

    num_classes: int
    epochs: int
    batch_size: int
    learning_rate: float
    l2: float
    knn_k: int
    knn_temperature: float
    seed: int


class ModuleScores(NamedTuple):
    """Top-1 accuracies of one module, in [0, 1].

    Attributes:
      linear_top1: linear probe on pooled features.
      linear_grid_top1: linear probe on the unpooled grid, or None.
      knn_top1: k nearest neighbours on pooled features.
      head: the linear probe on pooled features.
      predicted: [n] int64, its predictions on the test split.
    """

    linear_top1: float
    linear_grid_top1: float | None
    knn_top1: float
    head: LinearHead
    predicted: np.ndarray


def score_modules(
    train: Representations, test: Representations, settings: ProbeSettings
) -> dict[str, ModuleScores]:
    """Fits every probe of every module on `train` and scores it on `test`."""
    return {name: _score(name, train, test, settings) for name in train.pooled}


def majority_top1(train_labels: np.ndarray, test_labels: np.ndarray) -> float:
    """Accuracy of always naming the most frequent training class."""
    majority = np.bincount(train_labels).argmax()
    return top1(np.full_like(test_labels, majority), test_labels)


def fit(
    features: np.ndarray, labels: np.ndarray, settings: ProbeSettings
) -> LinearHead:
    """`fit_linear_probe` with the settings of an experiment."""
    return fit_linear_probe(
        features,
        labels,
        num_classes=settings.num_classes,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        l2=settings.l2,
        seed=settings.seed,
    )


def nearest(
    name: str,
    train: Representations,
    test: Representations,
    settings: ProbeSettings,
) -> np.ndarray:
    """`knn_predict` of one module's pooled features: [n] int64."""
    return knn_predict(
        train.pooled[name],
        train.labels,
        test.pooled[name],
        num_classes=settings.num_classes,
        k=settings.knn_k,
        temperature=settings.knn_temperature,
    )


def _score(
    name: str,
    train: Representations,
    test: Representations,
    settings: ProbeSettings,
) -> ModuleScores:
    head = fit(train.pooled[name], train.labels, settings)
    predicted = head.predict(test.pooled[name])
    on_grid = None
    if name in train.grid:
        grid_head = fit(train.grid[name], train.labels, settings)
        on_grid = top1(grid_head.predict(test.grid[name]), test.labels)
    neighbours = nearest(name, train, test, settings)
    return ModuleScores(
        linear_top1=top1(predicted, test.labels),
        linear_grid_top1=on_grid,
        knn_top1=top1(neighbours, test.labels),
        head=head,
        predicted=predicted,
    )
