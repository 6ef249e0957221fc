"""What all sources of recordings share: what is stored, and their classes."""

import abc
import functools
import unicodedata
from collections.abc import Callable
from typing import ClassVar

from gim_tf.config import DataConfig
from gim_tf.data.sources.base import Reader
from gim_tf.data.sources.verify_recording import Wanted, verified_recording
from gim_tf.errors import ConfigError, DataError


class SpeechReader(Reader):
    """Base of the sources of recordings: their classes are the speakers.

    A label is the position of the speaker in `class_names`. A recording is
    refused that has not `data.sample_rate`, one channel and `data.min_samples`
    samples, unless `data.resample` or `data.downmix` mends that.
    """

    follows: ClassVar[tuple[str, ...]] = ("resample", "downmix")

    def __init__(self, data: DataConfig) -> None:
        super().__init__(data)
        if data.sample_rate is None or data.min_samples is None:
            raise ConfigError(
                f"Source {data.source!r} needs data.sample_rate and "
                "data.min_samples, such as 16000 and 20480."
            )

    @functools.cached_property
    def class_names(self) -> tuple[str, ...]:
        """`data.class_names`, or else all speakers of the source, sorted."""
        found = self._speakers()
        if not self.data.class_names:
            return tuple(sorted(found))
        known = tuple(map(normal, self.data.class_names))
        unknown = sorted(found - set(known))
        if unknown:
            raise DataError(
                f"{self.data.path} holds {len(unknown)} speaker(s) that "
                f"data.class_names lacks, the first is {unknown[0]!r}. Add "
                "them, or leave data.class_names empty."
            )
        return known

    @abc.abstractmethod
    def _speakers(self) -> set[str]:
        """Who speaks in the labelled splits."""

    @functools.cached_property
    def _labels(self) -> dict[str, int]:
        return {name: label for label, name in enumerate(self.class_names)}

    @functools.cached_property
    def _wanted(self) -> Wanted:
        data = self.data
        rate, least = data.sample_rate or 0, data.min_samples or 0
        return Wanted(rate, least, data.resample, data.downmix)

    def _encoded(self, raw: Callable[[], bytes]) -> bytes:
        return verified_recording(raw(), self._wanted)


def normal(name: str) -> str:
    """A name as it is compared: accents in one form."""
    return unicodedata.normalize("NFC", name)
