"""Phone labels of recordings, one every 10 ms, as the CPC authors publish them.

Source: `converted_aligned_phones.txt` of van den Oord, Li and Vinyals 2018:
the id of an utterance and its labels a line, found by forced alignment.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gim_tf.data.sources.files import damage
from gim_tf.errors import DataError

NUM_PHONES = 41
HOP = 160  # samples between two labels
FIELD = 400  # samples that a label is about

_LABELS = {str(label): label for label in range(NUM_PHONES)}


class Alignment(NamedTuple):
    """Labels of one recording and where they stand.

    Attributes:
      labels: [t] int64, 0 to 40.
      centres: [t] int64, the sample that each label is centred on.
    """

    labels: np.ndarray
    centres: np.ndarray


def read_labels(path: str | Path) -> dict[str, np.ndarray]:
    """Reads a file of phone labels; see `parse_labels`."""
    path = Path(path)
    try:
        with damage(path), path.open(encoding="utf-8") as file:
            return parse_labels(file, str(path))
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is no text file; expected an id and integers a line."
        ) from error


def parse_labels(lines: Iterable[str], where: str) -> dict[str, np.ndarray]:
    """Parses lines `utterance-id int int ...`; blank ones are skipped.

    Args:
      lines: with any line ends.
      where: what the lines are called in messages.

    Returns:
      For each id, its labels: [t] int64, 0 to 40.

    Raises:
      DataError: a label is no integer or out of range, an id occurs twice or
        has no labels, or there are no lines; the message has the line number.
    """
    found: dict[str, np.ndarray] = {}
    first_seen: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        name, *tokens = line.split() or [""]
        if not name:
            continue
        if name in found:
            raise DataError(
                f"{where}, line {number}: {name!r} has labels in line "
                f"{first_seen[name]} already. Remove one of the lines."
            )
        found[name] = _labels(tokens, f"{where}, line {number}")
        first_seen[name] = number
    if not found:
        raise DataError(
            f"{where} holds no labels; expected an id and integers a line."
        )
    return found


def align(num_samples: int, labels: np.ndarray) -> Alignment:
    """Places the labels of one recording on its samples.

    Label t is about samples 160 t to 160 t + 400.

    Args:
      num_samples: length of the recording, n.
      labels: [1 + (n - 400) // 160].

    Raises:
      DataError: another number of labels.
    """
    expected = max(0, 1 + (num_samples - FIELD) // HOP)
    if len(labels) != expected or not expected:
        raise DataError(
            f"Expected {expected} labels for {num_samples} samples, received "
            f"{len(labels)}. Are the labels of this recording, at 16 kHz?"
        )
    return Alignment(labels, HOP * np.arange(expected) + FIELD // 2)


def _labels(tokens: list[str], where: str) -> np.ndarray:
    if not tokens:
        raise DataError(f"{where}: no labels behind the id.")
    try:
        return np.array([_LABELS[token] for token in tokens], np.int64)
    except KeyError as error:
        (token,) = error.args
        is_integer = token.removeprefix("-").isdecimal()
        raise DataError(
            f"{where}: label {token!r} is "
            f"{'out of range' if is_integer else 'no integer'}; expected 0 to "
            f"{NUM_PHONES - 1}."
        ) from error
