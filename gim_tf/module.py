"""One gradient-isolated module: encoder, context and local objective."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from gim_tf.losses import Objective
from gim_tf.recomputation import recomputed
from gim_tf.shapes import pool_local

_PARTS = ("encoder", "objective", "autoregressor")


class ModuleOutput(NamedTuple):
    """What a module returns in training.

    Attributes:
      z: [b, t, s, *local, d], unpooled: the next module's input.
      context: [b, t, s, c], what the objective predicted from.
      loss: [] float32, in nats.
      metrics: "accuracy" [] and "per_step" [K].
    """

    z: tf.Tensor
    context: tf.Tensor
    loss: tf.Tensor
    metrics: dict[str, tf.Tensor]


@keras.saving.register_keras_serializable(package="gim_tf")
class GIMModule(keras.layers.Layer):
    """Gradients end at the module's input.

    Nothing after the module can train it, and it can train nothing before
    it: the cut is a property of the object, not of the training loop.

    Args:
      encoder: [b, t, s, *local, c] -> [b, t', s, *local', d].
      objective: the local loss, on the pooled map.
      autoregressor: [b, t, s, d] -> [b, t, s, c], the context of each
        position; None: the pooled map is its own context.
      representation: what `represent` gives: "context", or "z" for the
        pooled map before the autoregressor.
      recompute_groups: above 1, training keeps no activation of the encoder:
        the batch is encoded in as many groups, and each again for its
        gradient. It must divide the batch.
      **kwargs: of `keras.layers.Layer`.

    Raises:
      ValueError: another representation, or no group.

    Source: Löwe et al. (2019), section 3.
    """

    def __init__(
        self,
        encoder: keras.layers.Layer,
        objective: Objective,
        autoregressor: keras.layers.Layer | None = None,
        representation: str = "context",
        recompute_groups: int = 1,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        if recompute_groups < 1:
            raise ValueError(
                "recompute_groups must be at least 1, received "
                f"{recompute_groups}."
            )
        self.recompute_groups = recompute_groups
        if representation not in ("context", "z"):
            raise ValueError(
                "representation must be 'context' or 'z', received "
                f"{representation!r}."
            )
        self.representation = representation
        self.encoder = encoder
        self.objective = objective
        self.autoregressor = autoregressor

    def encode(self, x: tf.Tensor, *, training: bool = False) -> tf.Tensor:
        """The unpooled map [b, t', s, *local', d]; no gradient reaches x."""
        return self._encoded(x, training=training)

    def contextualise(self, z: tf.Tensor) -> tf.Tensor:
        """The context [b, t, s, c] of a pooled map [b, t, s, d]."""
        return z if self.autoregressor is None else self.autoregressor(z)

    def represent(self, z: tf.Tensor) -> tf.Tensor:
        """What probes see: [b, t, s, *local, d] -> [b, t, s, d or c]."""
        pooled = pool_local(z)
        if self.representation == "z":
            return pooled
        return self.contextualise(pooled)

    @property
    def encoding_variables(self) -> list[keras.Variable]:
        """What `encode` and `represent` use; none of the objective's."""
        parts = [self.encoder]
        if self.autoregressor is not None and self.representation == "context":
            parts.append(self.autoregressor)
        return [variable for part in parts for variable in part.variables]

    def call(
        self,
        x: tf.Tensor,
        labels: tf.Tensor | None = None,
        training: bool = False,
    ) -> ModuleOutput:
        if training and self.recompute_groups > 1:
            z, pooled = recomputed(
                lambda part: self._encode_with_mean(part, training=True),
                x,
                self.recompute_groups,
            )
        else:
            z, pooled = self._encode_with_mean(x, training=training)
        context = self.contextualise(pooled)
        output = self.objective(pooled, context, labels)
        metrics = {"accuracy": output.accuracy, "per_step": output.per_step}
        return ModuleOutput(z, context, output.loss, metrics)

    def _encode_with_mean(
        self, x: tf.Tensor, *, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """`encode` and its `pool_local`, by the encoder where it is cheaper.

        The loss sees the mean only; its gradient need not pass the map.
        """
        if getattr(self.encoder, "supports_mean", False):
            return self._encoded(x, training=training, with_mean=True)
        z = self.encode(x, training=training)
        return z, pool_local(z)

    def _encoded(self, x: tf.Tensor, **options: bool) -> Any:
        return self.encoder(tf.stop_gradient(x), **options)

    def get_config(self) -> dict[str, object]:
        parts = {name: getattr(self, name) for name in _PARTS}
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "representation": self.representation,
            "recompute_groups": self.recompute_groups,
            **{name: part and serialize(part) for name, part in parts.items()},
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "GIMModule":
        deserialize = keras.saving.deserialize_keras_object
        parts = {
            name: config[name] and deserialize(config[name]) for name in _PARTS
        }
        return cls(**{**config, **parts})


@keras.saving.register_keras_serializable(package="gim_tf")
class Chain(keras.layers.Layer):
    """Blocks applied one after the other; the encoder of a module.

    Args:
      blocks: layers of one input and one output; none passes x through, the
        encoder of a module that is an autoregressor alone.
      **kwargs: of `keras.layers.Layer`.
    """

    def __init__(
        self, blocks: Sequence[keras.layers.Layer], **kwargs: object
    ) -> None:
        super().__init__(**kwargs)
        self.blocks = list(blocks)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        for block in self.blocks:
            if not block.built:  # it is when it was deserialized
                block.build(input_shape)
            input_shape = block.compute_output_shape(input_shape)

    @property
    def supports_mean(self) -> bool:
        """Whether it can be called with `with_mean`, as its last block can."""
        return bool(self.blocks) and getattr(
            self.blocks[-1], "supports_mean", False
        )

    def call(
        self, x: tf.Tensor, training: bool = False, with_mean: bool = False
    ) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        if not with_mean:
            for block in self.blocks:
                x = block(x)
            return x
        *blocks, last = self.blocks
        for block in blocks:
            x = block(x)
        return last(x, with_mean=True)

    def get_config(self) -> dict[str, object]:
        serialize = keras.saving.serialize_keras_object
        blocks = [serialize(block) for block in self.blocks]
        return {**super().get_config(), "blocks": blocks}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Chain":
        config = dict(config)
        deserialize = keras.saving.deserialize_keras_object
        blocks = [deserialize(block) for block in config.pop("blocks")]
        return cls(blocks, **config)
