"""The data that come with the package: pictures, and synthetic speech.

The first 10,000 training and the first 2,000 test images of Fashion-MNIST
(Xiao, Rasul and Vollgraf 2017, MIT licence), as IDX files, which
`tools/make_embedded_data.py` made; and five minutes that a synthesizer spoke,
with exact phone labels, laid out like LibriSpeech, which
`tools/make_speech.py` made.
"""

from pathlib import Path
from typing import ClassVar

from gim_tf.data.sources.base import Reader
from gim_tf.data.sources.idx import IdxReader
from gim_tf.data.sources.librispeech import LibriSpeechReader
from gim_tf.errors import ConfigError
from gim_tf.paths import Place

_DATA = Path(__file__).resolve().parents[1]
FOLDER = _DATA / "fashion_mnist"


class _Embedded(Reader):
    folder: ClassVar[Path]
    others: ClassVar[str]

    @property
    def place(self) -> Place:
        """The folder inside the package."""
        if self.data.path is not None:
            raise ConfigError(
                f"Source {self.data.source!r} reads no data.path, received "
                f"{self.data.path!r}; for files of your own choose another "
                f"data.source, such as {self.others}."
            )
        return self.folder


class EmbeddedReader(_Embedded, IdxReader):
    """Splits "train" (10,000) and "test" (2,000), 28x28 gray, 10 classes."""

    folder = FOLDER
    others = "'folder' or 'idx'"


class EmbeddedSpeechReader(_Embedded, LibriSpeechReader):
    """Synthetic speech of four voices, splits "train" (59) and "test" (13).

    2 to 8 seconds at 16 kHz; 41 frame labels, exact.
    """

    folder = _DATA / "made_speech"
    others = "'librispeech' or 'sounds'"
