"""Signatures of an exported encoder, as plain `tf.Module`s.

A SavedModel that tracks a Keras 3 model loads in TensorFlow 2 but not through
the TF1-style loader of TF Serving and Beam: so these modules track the bare
variables and keep the model in a closure.
"""

from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf

from gim_tf.data import records
from gim_tf.stack import GIMStack

Features = dict[str, tf.Tensor]

BYTES = "image_bytes"  # a name in _bytes makes REST accept {"b64": ...}
TENSOR = "images"
EXAMPLES = "examples"


class Encoder(tf.Module):
    """A frozen stack with its preprocessing.

    Signatures (all refuse an empty batch, on which oneDNN convolutions
    answer with the wrong shape):

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
        self.frozen = [
            variable.value
            for module in stack.gim_modules
            for variable in module.encoding_variables
        ]
        decoded = tf.TensorSpec((None, *example_shape), tf.float32, TENSOR)

        @tf.function(input_signature=[decoded], autograph=False)
        def tensor(images: tf.Tensor) -> Features:
            return stack(to_grid(_not_empty(images)))

        @tf.function(input_signature=[decoded], autograph=False)
        def grid(images: tf.Tensor) -> Features:
            return stack.grids(to_grid(_not_empty(images)))

        @tf.function(input_signature=[_strings(BYTES)], autograph=False)
        def image_bytes(image_bytes: tf.Tensor) -> Features:
            return tensor(decode(_not_empty(image_bytes)))

        @tf.function(input_signature=[_strings(EXAMPLES)], autograph=False)
        def examples(examples: tf.Tensor) -> Features:
            return image_bytes(_encoded(examples))

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
      kernel: [d, c] float32.
      bias: [c] float32.
      class_names: c names.
    """

    def __init__(
        self,
        encoder: tf.Module,
        *,
        module: str,
        kernel: tf.Tensor,
        bias: tf.Tensor,
        class_names: Sequence[str],
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.kernel = tf.Variable(kernel, trainable=False, name="kernel")
        self.bias = tf.Variable(bias, trainable=False, name="bias")
        # The embedded files, if any, are variables' initial values only.
        names = tf.constant(list(class_names))
        encode: Mapping[str, Callable] = encoder.signatures

        @tf.function(input_signature=[_strings(BYTES)], autograph=False)
        def classify(image_bytes: tf.Tensor) -> Features:
            features = encode["serving_default"](image_bytes=image_bytes)
            logits = tf.matmul(features[module], self.kernel) + self.bias
            index = tf.argmax(logits, -1)
            return {
                "scores": tf.nn.softmax(logits),
                "class_index": index,
                "class_name": tf.gather(names, index),
            }

        @tf.function(input_signature=[_strings(EXAMPLES)], autograph=False)
        def classify_examples(examples: tf.Tensor) -> Features:
            return classify(_encoded(examples))

        self.classify = classify
        self.classify_examples = classify_examples

    def signatures(self) -> dict[str, Callable]:
        """Name -> function: the encoder's own, and the two of the head."""
        return {
            **self.encoder.signatures,
            "classify": self.classify,
            "classify_examples": self.classify_examples,
        }


def _strings(name: str) -> tf.TensorSpec:
    return tf.TensorSpec((None,), tf.string, name)


def _encoded(examples: tf.Tensor) -> tf.Tensor:
    # The other features may be absent: they are not needed to encode.
    wanted = {"encoded": records.FEATURES["encoded"]}
    return tf.io.parse_example(_not_empty(examples), wanted)["encoded"]


def _not_empty(batch: tf.Tensor) -> tf.Tensor:
    check = tf.debugging.assert_positive(
        tf.shape(batch)[0], "The batch is empty; send at least one example."
    )
    with tf.control_dependencies([check]):
        return tf.identity(batch)
