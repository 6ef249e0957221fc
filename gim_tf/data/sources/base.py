"""The part of reading that all sources share: splits, holdout, rejection."""

import abc
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from gim_tf.config import DataConfig
from gim_tf.data.records import Record, Rejected, WorkItem, check_label
from gim_tf.data.sources.verify import UnreadableError, verified
from gim_tf.errors import ConfigError, DataError
from gim_tf.paths import Place, as_path, is_remote, local_path

# Settings that not every source can follow.
_NOT_FOR_ALL = ("resample", "downmix", "frame_labels", "train_share")


class Found(NamedTuple):
    """One example of a source, before it is verified.

    `raw` is what the reader's `_encoded` makes an encoded file of.
    """

    id: str
    label: int
    raw: Any


class Reader(abc.ABC):
    """Base of the sources: a subclass lists its pieces and reads one.

    Pickled are the configuration and the classes alone.

    Args:
      data: the configuration.

    Attributes:
      layout: what `data.path` should hold, for messages.
      follows: of the settings for some sources, those that this one follows.
    """

    layout: str
    follows: ClassVar[tuple[str, ...]] = ()

    def __init__(self, data: DataConfig) -> None:
        self.data = data
        for name in _NOT_FOR_ALL:
            value = getattr(data, name)
            if value and name not in self.follows:
                raise ConfigError(
                    f"Source {data.source!r} cannot follow data.{name}, "
                    f"received {value!r}. Leave it out, or choose another "
                    "data.source."
                )

    def __getstate__(self) -> dict[str, Any]:
        # What was found stays behind, it can be large; but for the classes,
        # which it can take a pass over all examples to find.
        state = vars(self)
        kept = ("data", "class_names")
        return {key: state[key] for key in kept if key in state}

    @property
    def class_names(self) -> tuple[str, ...]:
        """One name a class, in label order."""
        return self.data.class_names

    @property
    def frame_names(self) -> tuple[str, ...]:
        """One name a frame label; none where there are none."""
        return self.data.frame_names

    @property
    def path(self) -> Path:
        """The file or folder that is read, of a file system.

        Raises:
          ConfigError: `data.path` is not set, or is a URL.
          DataError: there is nothing.
        """
        if self.data.path and is_remote(self.data.path):
            raise ConfigError(
                f"Source {self.data.source!r} reads files of a file system, "
                f"received {self.data.path}. Copy them to one, or mount the "
                "store, and set data.path to that."
            )
        return local_path(self.place)

    @property
    def place(self) -> Place:
        """The same where it may be a URL, too."""
        if not self.data.path:
            raise ConfigError(
                f"Source {self.data.source!r} needs data.path, where there "
                f"is: {self.layout}."
            )
        place = as_path(self.data.path)
        if not place.exists():
            raise DataError(f"{place} does not exist; check data.path.")
        return place

    def work(self, split: str) -> list[WorkItem]:
        """Cuts a split into pieces, in a fixed order.

        A test split that the source lacks is held out of the train split.

        Raises:
          DataError: the source has no such split, or its files are damaged.
        """
        data, own = self.data, self._splits()
        divided = (
            data.holdout > 0
            and data.test_split not in own
            and split in (data.train_split, data.test_split)
        )
        native = data.train_split if divided else split
        if native not in own:
            raise DataError(self._missing(split, own))
        return [
            item._replace(split=split, divided=divided)
            for item in self._pieces(native)
        ]

    def read(self, item: WorkItem) -> Iterator[Record | Rejected]:
        """Yields the examples of one piece, one at a time, in a fixed order.

        Raises:
          DataError: a label is out of range, or the file itself is damaged.
        """
        is_test = item.split == self.data.test_split
        for found in self._examples(item):
            if item.divided:
                chosen = is_held_out(found.id, self.data.holdout)
                if chosen != is_test:
                    continue
            try:
                record = self._record(found, item)
            except UnreadableError as error:
                yield Rejected(found.id, str(error))
                continue
            check_label(record, self.data)
            yield record

    @abc.abstractmethod
    def fingerprint(self) -> str:
        """Hash that changes when the source's content does."""

    @abc.abstractmethod
    def _splits(self) -> tuple[str, ...]:
        """Splits that the source itself has."""

    @abc.abstractmethod
    def _pieces(self, split: str) -> Iterator[WorkItem]:
        """Pieces of one of the source's own splits."""

    @abc.abstractmethod
    def _examples(self, item: WorkItem) -> Iterator[Found]:
        """Examples of one piece."""

    def _record(self, found: Found, item: WorkItem) -> Record:
        encoded = self._encoded(found.raw)
        return Record(found.id, found.label, item.split, encoded)

    def _encoded(self, raw: Any) -> bytes:
        return verified(raw)

    def _missing(self, split: str, own: tuple[str, ...]) -> str:
        data = self.data
        if not own:
            return f"{data.path} holds no data; expected {self.layout}."
        advice = "Choose among them, or add the files."
        if split == data.test_split and data.train_split in own:
            advice = "Set data.holdout, such as 0.1, to hold out a share."
        return (
            f"{data.path or 'The embedded data'} has no split {split!r}; it "
            f"has {', '.join(map(repr, own))}. {advice}"
        )


def is_held_out(example_id: str, share: float) -> bool:
    """Whether an example is in the held-out `share`, by a hash of its id."""
    digest = hashlib.sha256(example_id.encode("utf-8", "backslashreplace"))
    return int.from_bytes(digest.digest()[:8], "big") < share * 2**64
