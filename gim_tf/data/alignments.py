"""Phone labels of recordings, one every 10 ms, as the CPC authors publish them.

Source: `converted_aligned_phones.txt` of van den Oord, Li and Vinyals 2018:
the id of an utterance and its labels a line, found by forced alignment.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from gim_tf.errors import DataError

NUM_PHONES = 41
TOLERANCE = 2  # labels that may be missing or too many at the end
HOP = 160  # samples between two labels
FIELD = 400  # samples that a label is about


class Alignment(NamedTuple):
    """Labels of one recording and where they stand.

    Attributes:
      labels: [t] int16.
      centres: [t] int64, the sample that each label is centred on.
    """

    labels: np.ndarray
    centres: np.ndarray


def parse_labels(
    lines: Iterable[str], where: str, num_labels: int = NUM_PHONES
) -> dict[str, np.ndarray]:
    """Parses lines `utterance-id int int ...`; blank ones are skipped.

    Args:
      lines: with any line ends.
      where: what the lines are called in messages.
      num_labels: labels are below it.

    Returns:
      For each id, its labels: [t] int16, of which the 36 million of 100 hours
      take 70 MB.

    Raises:
      DataError: a label is no integer or out of range, an id occurs twice or
        has no labels, or there are no lines; the message has the line number.
    """
    known = {str(label): label for label in range(num_labels)}
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
        found[name] = _labels(tokens, known, f"{where}, line {number}")
        first_seen[name] = number
    if not found:
        raise DataError(
            f"{where} holds no labels; expected an id and integers a line."
        )
    return found


def mismatch(num_samples: int, num_labels: int) -> str | None:
    """Why these labels cannot be of that recording; None if they can.

    n samples have 1 + (n - 400) // 160 labels; two more or less may stand.
    """
    expected = max(0, 1 + (num_samples - FIELD) // HOP)
    if expected and abs(num_labels - expected) <= TOLERANCE:
        return None
    return (
        f"expected {expected} labels for {num_samples} samples, received "
        f"{num_labels}"
    )


def align(num_samples: int, labels: np.ndarray) -> Alignment:
    """Places the labels of one recording on its samples.

    Label t is about samples 160 t to 160 t + 400.

    Args:
      num_samples: length of the recording, n.
      labels: about 1 + (n - 400) // 160 of them, see `mismatch`.

    Raises:
      DataError: another number of labels.
    """
    wrong = mismatch(num_samples, len(labels))
    if wrong:
        raise DataError(
            f"Wrong labels: {wrong}. Are they of this recording, at 16 kHz?"
        )
    return Alignment(labels, HOP * np.arange(len(labels)) + FIELD // 2)


def _labels(
    tokens: list[str], known: Mapping[str, int], where: str
) -> np.ndarray:
    if not tokens:
        raise DataError(f"{where}: no labels behind the id.")
    try:
        return np.array([known[token] for token in tokens], np.int16)
    except KeyError as error:
        (token,) = error.args
        is_integer = token.removeprefix("-").isdecimal()
        raise DataError(
            f"{where}: label {token!r} is "
            f"{'out of range' if is_integer else 'no integer'}; expected 0 to "
            f"{len(known) - 1}."
        ) from error
