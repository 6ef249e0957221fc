"""Sets of recordings of TensorFlow Datasets, such as librispeech."""

from collections.abc import Mapping
from typing import Any

from gim_tf.data.records import WorkItem
from gim_tf.data.sources.base import Found
from gim_tf.data.sources.speech import SpeechReader
from gim_tf.data.sources.tfds import TfdsReader
from gim_tf.errors import DataError


class TfdsSpeechReader(TfdsReader, SpeechReader):
    """`data.path` is NAME[/CONFIG] or NAME[/CONFIG]@DATA_DIR.

    The set needs the features `speech`, stored encoded, and `speaker_id`. The
    classes are the speakers of `data.train_split` and `data.test_split`; who
    speaks in another split alone has no label. Splits are the set's own, and
    `data.holdout` makes a split "test". See `TfdsReader` for the rest.
    """

    layout = "a name such as librispeech/lazy_decode, or NAME@/folder/of/tfds"
    content = "speech"

    def _found(
        self, example_id: str, example: Mapping[str, Any], item: WorkItem
    ) -> Found:
        label = self._labels.get(str(example["speaker_id"]), -1)
        encoded = bytes(example[self.content])
        return Found(example_id, label, lambda: encoded)

    def _speakers(self) -> set[str]:
        labelled = {self.data.train_split, self.data.test_split}
        items = {
            item._replace(split="", divided=False)
            for split in sorted(labelled)
            for item in self.work(split)
        }
        return {
            str(example["speaker_id"])
            for item in sorted(items)
            for example in self._read(item, _only("speaker_id"))
        }

    def _check_features(self, name: str, features: Any) -> None:
        if not {self.content, "speaker_id"} <= set(features):
            raise DataError(
                f"TFDS {name!r} has the features {', '.join(features)}; "
                "expected speech and speaker_id."
            )
        stored = features[self.content].get_serialized_info()
        if stored.dtype != "string":
            raise DataError(
                f"TFDS {name!r} stores decoded samples; expected encoded "
                "ones, as of the configuration librispeech/lazy_decode."
            )


def _only(feature: str) -> Any:
    import tensorflow_datasets as tfds

    return tfds.decode.PartialDecoding({feature: True})
