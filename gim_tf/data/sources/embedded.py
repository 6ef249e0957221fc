"""The data that come with the package: 12,000 images of Fashion-MNIST.

The first 10,000 training and the first 2,000 test images (Xiao, Rasul and
Vollgraf 2017, MIT licence), as IDX files; `tools/make_embedded_data.py` made
them.
"""

from pathlib import Path

from gim_tf.data.sources.idx import IdxReader
from gim_tf.errors import ConfigError

FOLDER = Path(__file__).resolve().parents[1] / "fashion_mnist"


class EmbeddedReader(IdxReader):
    """Splits "train" (10,000) and "test" (2,000), 28x28 gray, 10 classes."""

    @property
    def path(self) -> Path:
        """The folder inside the package."""
        if self.data.path is not None:
            raise ConfigError(
                "Source 'embedded' reads no data.path, received "
                f"{self.data.path!r}; for files of your own choose another "
                "data.source, such as 'folder' or 'idx'."
            )
        return FOLDER
