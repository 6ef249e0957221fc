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


class Encoder(tf.Module):
    """A frozen stack with its preprocessing.

    Signatures (all refuse an empty batch, on which oneDNN convolutions
    answer with the wrong shape, and numbers that are not finite):

      serving_default: image_bytes [b] string, encoded files
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
            return tensor(decode(not_empty(image_bytes)))

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
