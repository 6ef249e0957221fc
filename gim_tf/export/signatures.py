"""Signatures of an exported encoder, as plain `tf.Module`s.

A SavedModel that tracks a Keras 3 model loads in TensorFlow 2 but not through
the TF1-style loader of TF Serving and Beam: so these modules track the bare
variables and keep the model in a closure.
"""

from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf

from gim_tf.export.heads import Classes, Head
from gim_tf.export.inputs import (
    EXAMPLES,
    Features,
    encoded,
    finite,
    frozen,
    not_empty,
    strings,
)
from gim_tf.stack import GIMStack

BYTES = "image_bytes"  # a name in _bytes makes REST accept {"b64": ...}
TENSOR = "images"

# First bytes by which TensorFlow's own decoder tells the two from others.
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"


class Encoder(tf.Module):
    """A frozen stack with its preprocessing.

    Signatures (all refuse an empty batch, on which oneDNN convolutions
    answer with the wrong shape, and numbers that are not finite):

      serving_default: image_bytes [b] string, encoded files: PNG, and JPEG
        that is gray or RGB; others are refused, see `_as_ingested`
      tensor:          images [b, *example] float32, as decoded, in [0, 255]
      examples:        examples [b] string, serialized records
        -> {"module_1": [b, d_1], ...} float32
      grid:            images, as `tensor`
        -> {"module_1": [b, t, s, d_1], ...} float32

    Args:
      stack: trained.
      decode: [b] string -> [b, *example] float32.
      to_grid: [b, *example] -> the stack's input.
      example_shape: of one decoded example.
    """

    def __init__(
        self,
        stack: GIMStack,
        *,
        decode: Callable[[tf.Tensor], tf.Tensor],
        to_grid: Callable[[tf.Tensor], tf.Tensor],
        example_shape: Sequence[int],
    ) -> None:
        super().__init__()
        self.frozen = frozen(stack)
        decoded = tf.TensorSpec((None, *example_shape), tf.float32, TENSOR)

        @tf.function(input_signature=[decoded], autograph=False)
        def tensor(images: tf.Tensor) -> Features:
            return stack(to_grid(finite(not_empty(images))))

        @tf.function(input_signature=[decoded], autograph=False)
        def grid(images: tf.Tensor) -> Features:
            return stack.grids(to_grid(finite(not_empty(images))))

        @tf.function(input_signature=[strings(BYTES)], autograph=False)
        def image_bytes(image_bytes: tf.Tensor) -> Features:
            return tensor(decode(_as_ingested(not_empty(image_bytes))))

        @tf.function(input_signature=[strings(EXAMPLES)], autograph=False)
        def examples(examples: tf.Tensor) -> Features:
            return image_bytes(encoded(examples))

        self.tensor = tensor
        self.grid = grid
        self.image_bytes = image_bytes
        self.examples = examples

    def signatures(self) -> dict[str, Callable]:
        """Name -> function, for `tf.saved_model.save`."""
        return {
            "serving_default": self.image_bytes,
            "tensor": self.tensor,
            "examples": self.examples,
            "grid": self.grid,
        }


class Classifier(tf.Module):
    """A loaded encoder, unchanged, with a linear head on one module.

    Adds to the encoder's signatures:

      classify:          image_bytes [b] string
      classify_examples: examples [b] string, serialized records
        -> {"scores": [b, c] float32, probabilities,
            "class_index": [b] int64, "class_name": [b] string}

    Args:
      encoder: what `tf.saved_model.load` returned for an `Encoder`.
      module: key of the representation that the head reads.
      head: the classifier.
    """

    def __init__(self, encoder: tf.Module, *, module: str, head: Head) -> None:
        super().__init__()
        self.encoder = encoder
        self.classes = classes = Classes(head)
        encode: Mapping[str, Callable] = encoder.signatures

        @tf.function(input_signature=[strings(BYTES)], autograph=False)
        def classify(image_bytes: tf.Tensor) -> Features:
            features = encode["serving_default"](image_bytes=image_bytes)
            return classes(features[module])

        @tf.function(input_signature=[strings(EXAMPLES)], autograph=False)
        def classify_examples(examples: tf.Tensor) -> Features:
            return classify(encoded(examples))

        self.classify = classify
        self.classify_examples = classify_examples

    def signatures(self) -> dict[str, Callable]:
        """Name -> function: the encoder's own, and the two of the head."""
        return {
            **self.encoder.signatures,
            "classify": self.classify,
            "classify_examples": self.classify_examples,
        }


def _as_ingested(files: tf.Tensor) -> tf.Tensor:
    """The files [b] again, where ingest would have stored them as they are.

    Others are an error of the graph. Its decoder takes BMP, GIF and CMYK JPEG
    too, but with other pixels than training saw: ingest writes them as PNG
    first (`gim_tf.data.sources.verify`).
    """

    def known(file: tf.Tensor) -> tf.Tensor:
        is_jpeg = tf.equal(tf.strings.substr(file, 0, len(_JPEG)), _JPEG)
        channels = tf.cond(
            is_jpeg,
            lambda: tf.io.extract_jpeg_shape(file)[2],
            lambda: tf.constant(0),
        )
        is_png = tf.equal(tf.strings.substr(file, 0, len(_PNG)), _PNG)
        return is_png | tf.equal(channels, 1) | tf.equal(channels, 3)

    check = tf.debugging.Assert(
        tf.reduce_all(
            tf.map_fn(known, files, fn_output_signature=tf.TensorSpec((), bool))
        ),
        ["Expected a PNG, or a JPEG that is gray or RGB; convert the file"],
    )
    with tf.control_dependencies([check]):
        return tf.identity(files)
