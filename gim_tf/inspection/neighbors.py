"""What is nearest to one of many embeddings, by the cosine of the angle."""

import heapq
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from gim_tf.data.embeddings import Rows
from gim_tf.errors import DataError

_TINY = 1e-12  # of a norm: a vector of zeros has the cosine 0 with all


class Neighbor(NamedTuple):
    """One row of the embeddings.

    Attributes:
      id: of the item.
      split: None where unknown.
      label: -1 where unknown.
      similarity: cosine, in [-1, 1].
    """

    id: str
    split: str | None
    label: int
    similarity: float


class Nearest(NamedTuple):
    """The result of a search.

    Attributes:
      found: at most k, the nearest first; of equal ones the first in order.
      size: rows that were compared.
      mean: similarity of all of them on average; 0 if there are none.
      labels: how many of them have each label.
    """

    found: list[Neighbor]
    size: int
    mean: float
    labels: Counter[int]


def nearest(
    parts: Iterable[Rows],
    module: str,
    vector: np.ndarray,
    *,
    k: int,
    without: str | None = None,
) -> Nearest:
    """Compares a vector with all rows, one part after the other.

    Args:
      parts: of the embeddings; one of them is in memory at a time.
      module: whose representations are compared.
      vector: [d].
      k: how many are wanted.
      without: id of a row that is left out: the query itself.

    Raises:
      DataError: k is under 1, or the vector has another length.
    """
    if k < 1:
        raise DataError(f"Expected at least 1 neighbour, received {k}.")
    best: list[tuple[float, int, Neighbor]] = []
    labels: Counter[int] = Counter()
    row, total = 0, 0.0
    for part in parts:
        cosines = cosine(part.features[module], vector)
        for one in zip(
            part.ids, part.splits, part.labels, cosines.tolist(), strict=True
        ):
            row += 1
            if one[0] == without:
                continue
            labels[one[2]] += 1
            total += one[3]
            entry = (one[3], -row, Neighbor(*one))
            if len(best) < k:
                heapq.heappush(best, entry)
            elif entry > best[0]:
                heapq.heapreplace(best, entry)
    found = [neighbor for _, _, neighbor in sorted(best, reverse=True)]
    size = labels.total()
    return Nearest(found, size, total / max(size, 1), labels)


def cosine(rows: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """[n] of rows [n, d] and a vector [d]; 0 where one of them is zero.

    Raises:
      DataError: the lengths differ.
    """
    if vector.shape != rows.shape[1:]:
        raise DataError(
            f"Expected a query of shape {list(rows.shape[1:])}, received "
            f"{list(vector.shape)}: it is of another model or module."
        )
    rows, vector = rows.astype(np.float64), vector.astype(np.float64)
    norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(vector)
    return rows @ vector / np.maximum(norms, _TINY)


def find_row(parts: Iterable[Rows], item: str) -> Rows | None:
    """The row of an id, as rows of which there is one; None: no such id."""
    for part in parts:
        if item in part.ids:
            at = list(part.ids).index(item)
            return Rows(
                part.ids[at : at + 1],
                part.splits[at : at + 1],
                part.labels[at : at + 1],
                {m: v[at : at + 1] for m, v in part.features.items()},
            )
    return None
