"""Weighted k-nearest-neighbour classification of frozen features.

Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance
Discrimination" (2018), section 3.4: each neighbour votes with
exp(cosine / temperature).
"""

import numpy as np


def knn_predict(
    train: np.ndarray,
    train_labels: np.ndarray,
    queries: np.ndarray,
    *,
    num_classes: int,
    k: int,
    temperature: float,
    chunk: int = 1024,
) -> np.ndarray:
    """Classes of the queries: [n, d], [n], [q, d] -> [q] int64.

    Args:
      train: features that vote.
      train_labels: their classes.
      queries: features to classify.
      num_classes: c.
      k: neighbours that vote; at most n do.
      temperature: small: the nearest decides; large: a plain count.
      chunk: queries scored at once.
    """
    bank = _normalised(train)
    k = min(k, len(bank))
    predicted = []
    for start in range(0, len(queries), chunk):
        cosine = _normalised(queries[start : start + chunk]) @ bank.T
        nearest = np.argpartition(-cosine, k - 1, axis=1)[:, :k]
        weights = np.exp(
            (np.take_along_axis(cosine, nearest, 1) - 1.0) / temperature
        )
        votes = np.zeros((len(cosine), num_classes))
        row = np.arange(len(cosine))[:, None]
        np.add.at(votes, (row, train_labels[nearest]), weights)
        predicted.append(votes.argmax(1))
    return np.concatenate(predicted)


def _normalised(features: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.maximum(length, 1e-12)
