"""Readers of raw data, one a source, all yielding the same records."""

import difflib

from gim_tf.config import DataConfig
from gim_tf.data.records import Source
from gim_tf.data.sources.base import Reader
from gim_tf.data.sources.embedded import EmbeddedReader, EmbeddedSpeechReader
from gim_tf.data.sources.folder import FolderReader
from gim_tf.data.sources.idx import IdxReader
from gim_tf.data.sources.librispeech import LibriSpeechReader
from gim_tf.data.sources.sounds import SoundsReader
from gim_tf.data.sources.stl10 import Stl10Reader
from gim_tf.data.sources.tfds import TfdsReader
from gim_tf.data.sources.tfds_speech import TfdsSpeechReader
from gim_tf.data.sources.tfrecord import TFRecordReader
from gim_tf.errors import ConfigError

READERS: dict[str, type[Reader]] = {
    "embedded": EmbeddedReader,
    "idx": IdxReader,
    "folder": FolderReader,
    "stl10": Stl10Reader,
    "tfds": TfdsReader,
    "tfrecord": TFRecordReader,
    "librispeech": LibriSpeechReader,
    "sounds": SoundsReader,
    "embedded_speech": EmbeddedSpeechReader,
    "tfds_speech": TfdsSpeechReader,
}


def open_source(data: DataConfig) -> Source:
    """Returns the reader that `data.source` names.

    Raises:
      ConfigError: no such reader.
    """
    reader = READERS.get(data.source)
    if reader is None:
        near = difflib.get_close_matches(data.source, READERS, n=1, cutoff=0.0)
        raise ConfigError(
            f"Unknown data.source {data.source!r}; the nearest known one is "
            f"{near[0]!r}, known are {', '.join(READERS)}."
        )
    return reader(data)
