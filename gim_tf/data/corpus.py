"""What only the data can tell of themselves: `corpus.json` beside the records.

Ingest writes it; `gim_tf.config.completed` fills an experiment in with it.
"""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gim_tf.config import DataConfig
from gim_tf.data import pcm
from gim_tf.errors import DataError
from gim_tf.paths import AnyPath, as_path

NAME = "corpus.json"

_FULL_SCALE = 2**15


class Moments(NamedTuple):
    """Sums over 16-bit samples, exact: the order of adding does not matter.

    Attributes:
      count: number of samples.
      total: their sum.
      squares: the sum of their squares.
    """

    count: int = 0  # type: ignore[assignment]
    total: int = 0
    squares: int = 0

    def __add__(self, other: tuple) -> "Moments":
        return Moments(*(a + b for a, b in zip(self, other, strict=True)))

    @property
    def mean(self) -> float | None:
        """Mean on the [-1, 1] scale; None without samples."""
        if not self.count:
            return None
        return self.total / (self.count * _FULL_SCALE)

    @property
    def std(self) -> float | None:
        """Standard deviation on the [-1, 1] scale; None without samples."""
        if not self.count:
            return None
        scaled = self.count * self.squares - self.total**2
        return math.sqrt(scaled / self.count**2) / _FULL_SCALE


def moments(encoded: bytes) -> Moments:
    """Moments of one recording, a WAV or FLAC file as records hold it."""
    samples = pcm.decode(encoded).astype(np.int64)
    return Moments(
        len(samples), int(samples.sum()), int(np.dot(samples, samples))
    )


def counts(data: DataConfig, split: str) -> bool:
    """Whether the mean and deviation are those of this split's recordings."""
    return data.sample_rate is not None and split == data.pretrain_split


def write_corpus(
    directory: AnyPath,
    class_names: Sequence[str],
    frame_names: Sequence[str],
    heard: Moments,
) -> None:
    """Writes `corpus.json`; equal facts give equal bytes.

    Args:
      directory: of the records.
      class_names: one name a class, in label order.
      frame_names: one name a frame label; none where there are none.
      heard: of the pretraining split; empty for sources of other data.
    """
    facts = {
        "class_names": list(class_names),
        "frame_names": list(frame_names),
        "mean": heard.mean,
        "std": heard.std,
    }
    text = json.dumps(facts, indent=2, sort_keys=True) + "\n"
    (as_path(directory) / NAME).write_text(text, encoding="utf-8")


def read_corpus(directory: AnyPath) -> dict[str, Any]:
    """The content of `corpus.json`; {} where there is none.

    Raises:
      DataError: the file is damaged.
    """
    path = as_path(directory) / NAME
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (ValueError, OSError) as error:
        found = error
    if not isinstance(found, dict):
        raise DataError(f"{path} is damaged. Ingest the data again.")
    return found


def named(data: DataConfig, facts: Mapping[str, Any]) -> DataConfig:
    """`data` with the names that ingest found where it has none itself."""
    return dataclasses.replace(
        data,
        class_names=data.class_names or tuple(facts.get("class_names", ())),
        frame_names=data.frame_names or tuple(facts.get("frame_names", ())),
    )
