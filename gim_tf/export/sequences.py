"""Signatures of an exported encoder of recordings, as plain `tf.Module`s.

They hold operations of TensorFlow alone, and bare variables as in
`gim_tf.export.signatures`: so that a stock TF Serving loads them.
"""

from collections.abc import Callable, Mapping
from typing import Any

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

BYTES = "audio_bytes"  # a name in _bytes makes REST accept {"b64": ...}
TENSOR = "samples"
NUM_FRAMES = "num_frames"
_FRAMES = "_frames"
# 8 x 5 s through the paper's encoder on 2 cores: 1.5 s one by one, 0.9 s with 4
# at once; each takes 0.5 GB if it is of 15 s.
_AT_ONCE = 2


class SequenceEncoder(tf.Module):
    """A frozen stack along time, with its preprocessing.

    Signatures:

      serving_default: audio_bytes [b] string, WAV files of 16 bits, one
                       channel and the experiment's sample rate, each of its
                       own length
      examples:        examples [b] string, serialized records with such files
      tensor:          samples [b, n] float32 in [-1, 1], all equally long
        -> {"module_1": [b, d_1], ..., means over each recording's own frames,
            "module_1_frames": [b, t, d_1], ..., zeros behind its last frame,
            "num_frames": [b] int32, t of each recording} float32

    All modules have frames at one common rate, that of the last module. With
    the paper's encoder it is one frame every 160 samples (10 ms at 16 kHz) and
    frame j stands at sample 20 + 160 j; in general at `first + hop j`, which
    the manifest has as "frames". Modules with a higher rate are averaged to it.

    Every file is encoded on its own: it has the answer that it has alone, to
    the last bit. Answers are large, 1.1 MB for a second of the paper's
    encoder: name the outputs that are needed in a request's `output_filter`.

    Refused with the reason: an empty batch, no or another WAV file, more than
    one channel, another sample rate, too few samples for one frame, and samples
    that are not finite.

    Args:
      stack: trained.
      decode: [1] string -> [1, n] float32.
      frames: [b, n] float32 -> {"module_1": [b, t, d_1], ...}, all modules
        at one rate.
      min_samples: the least n with a frame of every module.
    """

    def __init__(
        self,
        stack: GIMStack,
        *,
        decode: Callable[[tf.Tensor], tf.Tensor],
        frames: Callable[[tf.Tensor], Features],
        min_samples: int,
    ) -> None:
        super().__init__()
        self.frozen = frozen(stack)
        decoded = tf.TensorSpec((None, None), tf.float32, TENSOR)

        @tf.function(input_signature=[decoded], autograph=False)
        def tensor(samples: tf.Tensor) -> Features:
            return _answer(frames(_checked(not_empty(samples), min_samples)))

        like = tensor.get_concrete_function().structured_outputs

        def each(files: tf.Tensor) -> Features:
            return _each(
                lambda one: tensor(decode(one[tf.newaxis])),
                not_empty(files),
                like,
            )

        self.functions = {
            "tensor": tensor,
            **by_bytes_and_examples("serving_default", each),
        }

    def signatures(self) -> dict[str, Callable]:
        """Name -> function, for `tf.saved_model.save`."""
        return dict(self.functions)


class SequenceClassifier(tf.Module):
    """A loaded encoder of recordings, unchanged, with heads on one module.

    Adds to the encoder's signatures, for a head of whole recordings:

      classify:          audio_bytes [b] string
      classify_examples: examples [b] string, serialized records
        -> {"scores": [b, c] float32, probabilities,
            "class_index": [b] int64, "class_name": [b] string}

    and for a head of frames:

      classify_frames:          audio_bytes [b] string
      classify_frames_examples: examples [b] string, serialized records
        -> {"scores": [b, t, c] float32, "class_index": [b, t] int64,
            "class_name": [b, t] string, "num_frames": [b] int32}

    Behind a recording's last frame the scores are 0, the index is -1 and the
    name is empty.

    Args:
      encoder: what `tf.saved_model.load` returned for a `SequenceEncoder`.
      module: key of the representation that the heads read.
      example_head: reads the mean over a recording's frames; None: no such
        signatures.
      frame_head: reads each frame; None: no such signatures.

    Raises:
      ValueError: no head.
    """

    def __init__(
        self,
        encoder: tf.Module,
        *,
        module: str,
        example_head: Head | None = None,
        frame_head: Head | None = None,
    ) -> None:
        super().__init__()
        if example_head is None and frame_head is None:
            raise ValueError("Expected example_head, frame_head or both.")
        self.encoder = encoder
        self.added: dict[str, Callable] = {}
        encode: Mapping[str, Callable] = encoder.signatures
        if example_head is not None:
            self.classes = classes = Classes(example_head)
            self._add(
                "classify",
                lambda files: classes(
                    _means(encode["serving_default"], files, module)
                ),
            )
        if frame_head is not None:
            self.frame_classes = frame_classes = Classes(frame_head)
            self._add(
                "classify_frames",
                lambda files: _frame_classes(
                    frame_classes,
                    encode["serving_default"](audio_bytes=files),
                    module,
                ),
            )

    def signatures(self) -> dict[str, Callable]:
        """Name -> function: the encoder's own, and those of the heads."""
        return {**self.encoder.signatures, **self.added}

    def _add(self, name: str, answer: Callable[[tf.Tensor], Features]) -> None:
        self.added.update(by_bytes_and_examples(name, answer))


def by_bytes_and_examples(
    name: str, answer: Callable[[tf.Tensor], Features]
) -> dict[str, Callable]:
    """The signature `name` of encoded files, and that of records with them.

    Args:
      name: of the first; the other is `<name>_examples`, and "examples" where
        the first is "serving_default".
      answer: [b] string, encoded files -> named tensors.
    """

    @tf.function(input_signature=[strings(BYTES)], autograph=False)
    def by_bytes(audio_bytes: tf.Tensor) -> Features:
        return answer(audio_bytes)

    @tf.function(input_signature=[strings(EXAMPLES)], autograph=False)
    def by_examples(examples: tf.Tensor) -> Features:
        return by_bytes(encoded(examples))

    other = EXAMPLES if name == "serving_default" else f"{name}_{EXAMPLES}"
    return {name: by_bytes, other: by_examples}


def frames_only(answer: Mapping[str, tf.Tensor]) -> Features:
    """{"module_1": [b, t, d_1], ...} of an answer of a `SequenceEncoder`."""
    return {
        key.removesuffix(_FRAMES): value
        for key, value in answer.items()
        if key.endswith(_FRAMES) and key != NUM_FRAMES
    }


def _checked(samples: tf.Tensor, min_samples: int) -> tf.Tensor:
    count = tf.shape(samples)[1]
    long_enough = tf.debugging.Assert(
        count >= min_samples,
        [f"Expected at least {min_samples} samples, received", count],
    )
    with tf.control_dependencies([long_enough]):
        return finite(samples)


def _answer(frames: Features) -> Features:
    """Of recordings that are equally long."""
    batch, steps = tf.unstack(tf.shape(next(iter(frames.values())))[:2])
    return {
        **{name: tf.reduce_mean(x, 1) for name, x in frames.items()},
        **{f"{name}{_FRAMES}": x for name, x in frames.items()},
        NUM_FRAMES: tf.fill([batch], steps),
    }


def _each(
    encode: Callable[[tf.Tensor], Features],
    files: tf.Tensor,
    like: Mapping[str, tf.TensorSpec],
) -> Features:
    """The answers of single recordings, as one padded batch.

    A padded input would change the last frames of shorter recordings.

    Args:
      encode: [] -> answers of one recording, [1, ...] each.
      files: [b] string.
      like: the answers' types.
    """
    types = {
        name: (
            tf.RaggedTensorSpec(spec.shape[1:], spec.dtype, ragged_rank=0)
            if spec.shape.rank == 3  # frames: of any number, and padded below
            else tf.TensorSpec(spec.shape[1:], spec.dtype)
        )
        for name, spec in like.items()
    }
    answers = tf.map_fn(
        lambda one: tf.nest.map_structure(lambda x: x[0], encode(one)),
        files,
        fn_output_signature=types,
        parallel_iterations=_AT_ONCE,
    )
    return {
        name: (
            answer.to_tensor()
            if isinstance(answer, tf.RaggedTensor)
            else answer
        )
        for name, answer in answers.items()
    }


def _means(
    encode: Any,
    files: tf.Tensor,
    module: str,
) -> tf.Tensor:
    """One module's means, [b, d], of one recording at a time.

    In one call the frames of all modules would be held for all recordings, 11
    MB for 10 s through the paper's encoder, and an Evaluator sends a thousand.

    Args:
      encode: the encoder's `serving_default`.
      files: [b] string.
      module: key of the representation.
    """
    (width,) = encode.structured_outputs[module].shape[1:]
    return tf.map_fn(
        lambda one: encode(audio_bytes=one[tf.newaxis])[module][0],
        not_empty(files),
        fn_output_signature=tf.TensorSpec((width,), tf.float32),
        parallel_iterations=_AT_ONCE,
    )


def _frame_classes(
    classes: Classes, answer: Mapping[str, tf.Tensor], module: str
) -> Features:
    """Classes of each frame, and none behind a recording's last."""
    features, count = answer[f"{module}{_FRAMES}"], answer[NUM_FRAMES]
    # A ragged tensor's rank is lost when functions are inlined, and the cost
    # model of the graph optimiser warns of the softmax at the first answer.
    found = classes(tf.ensure_shape(features, features.shape))
    inside = tf.sequence_mask(count, tf.shape(features)[1])
    return {
        "scores": tf.where(inside[..., None], found["scores"], 0.0),
        "class_index": tf.where(inside, found["class_index"], -1),
        "class_name": tf.where(inside, found["class_name"], ""),
        NUM_FRAMES: count,
    }
