"""Sets of TensorFlow Datasets; of images, such as stl10 or cifar10."""

import functools
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gim_tf.data.records import WorkItem
from gim_tf.data.sources.base import Found, Reader
from gim_tf.data.sources.files import fingerprint_files
from gim_tf.errors import ConfigError, DataError

PIECE = 10_000

_log = logging.getLogger(__name__)


class TfdsReader(Reader):
    """`data.path` is NAME or NAME@DATA_DIR; splits are the set's own.

    The set needs features `image` and `label`; `id` is used if it is there,
    else the split's name and the position in it. A set that is not on the
    disk is fetched by TFDS as always, with a warning in the log. The
    fingerprint covers the prepared files (see `fingerprint_files`).
    """

    layout = "a name such as stl10, or stl10@/folder/of/tfds"
    content = "image"  # the feature with the encoded examples

    def fingerprint(self) -> str:
        """Hash of the prepared files."""
        folder = Path(self._builder.data_dir)
        return fingerprint_files(folder, folder.glob("*.tfrecord*"))

    def _splits(self) -> tuple[str, ...]:
        return tuple(self._builder.info.splits)

    def _pieces(self, split: str) -> Iterator[WorkItem]:
        count = self._builder.info.splits[split].num_examples
        for start in range(0, count, PIECE):
            yield WorkItem(split, split, start, min(start + PIECE, count))

    def _examples(self, item: WorkItem) -> Iterator[Found]:
        # Imported here: it takes seconds, and other sources do not need it.
        import tensorflow_datasets as tfds

        decoders = {self.content: tfds.decode.SkipDecoding()}
        for index, example in enumerate(self._read(item, decoders)):
            example_id = f"{item.path}-{item.start + index:06d}"
            if "id" in example:
                example_id = example["id"].decode("utf-8", "backslashreplace")
            yield self._found(example_id, example, item)

    def _found(
        self, example_id: str, example: Mapping[str, Any], item: WorkItem
    ) -> Found:
        return Found(example_id, int(example["label"]), example[self.content])

    def _read(self, item: WorkItem, decoders: Any) -> Iterator[dict[str, Any]]:
        import tensorflow_datasets as tfds

        dataset = self._builder.as_dataset(
            split=tfds.core.ReadInstruction(
                item.path, from_=item.start, to=item.stop, unit="abs"
            ),
            decoders=decoders,
            # One file after the other: an index means the same each time.
            read_config=tfds.ReadConfig(interleave_cycle_length=1),
        )
        yield from dataset.as_numpy_iterator()

    @functools.cached_property
    def _builder(self) -> Any:
        import tensorflow_datasets as tfds

        name, _, folder = (self.data.path or "").partition("@")
        if not name:
            raise ConfigError(
                f"Source {self.data.source!r} needs data.path, {self.layout}."
            )
        try:
            builder = tfds.builder(name, data_dir=folder or None)
            if not builder.is_prepared():
                _log.warning("TFDS fetches %s into %s", name, builder.data_dir)
                builder.download_and_prepare()
        except Exception as error:  # of the network, the archive, the name
            reason = str(error).strip().split("\n")[0] or type(error).__name__
            raise DataError(
                f"TFDS cannot prepare {name!r}: {reason}. Check the name and "
                "the network, or name the folder of a prepared copy, "
                f"data.path={name}@FOLDER."
            ) from error
        self._check_features(name, builder.info.features)
        return builder

    def _check_features(self, name: str, features: Any) -> None:
        if not {"image", "label"} <= set(features):
            raise DataError(
                f"TFDS {name!r} has the features {', '.join(features)}; "
                "expected image and label."
            )
        expected = len(self.data.class_names)
        if features["label"].num_classes != expected:
            raise DataError(
                f"TFDS {name!r} has {features['label'].num_classes} classes, "
                f"data.class_names has {expected}."
            )
