"""The training step: one tape and one optimizer a module, one after the other.

A module's activations are freed before the next module opens its tape, so a
step needs the backward memory of its largest module, not of their sum.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from gim_tf.module import GIMModule, ModuleOutput
from gim_tf.stack import GIMStack
from gim_tf.training import replicas
from gim_tf.training.precision import gradient_norm

Metrics = dict[str, dict[str, tf.Tensor]]
_Step = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, dict[str, tf.Tensor]]]


class GIMTrainer:
    """Trains the modules of a stack, each by its own loss.

    Equals one tape over the summed losses with one Adam: the sum decouples at
    the cuts, and Adam is elementwise.

    Args:
      stack: built.
      optimizers: one a module; built here, since they reject variables that
        they meet later.
      strategy: in whose scope the stack was built, and this is: each of its
        replicas trains on a part of the batch, see
        `gim_tf.training.replicas`; None: one device. The optimizers must not
        sum gradients over replicas themselves (`gim_tf.training.adam`).
      jit_compile: let XLA compile each module's forward pass, backward pass
        and update to one program, so that modules still run one after the
        other; weights differ by rounding.

    Attributes:
      num_replicas: that train together, in all processes.

    Raises:
      ValueError: not one optimizer a module.
    """

    def __init__(
        self,
        stack: GIMStack,
        optimizers: Sequence[keras.optimizers.Optimizer],
        strategy: tf.distribute.Strategy | None = None,
        *,
        jit_compile: bool = False,
    ) -> None:
        if len(optimizers) != len(stack.gim_modules):
            raise ValueError(
                f"Expected {len(stack.gim_modules)} optimizers, one a module, "
                f"received {len(optimizers)}."
            )
        self.stack = stack
        self.optimizers = list(optimizers)
        self.num_replicas = (
            1 if strategy is None else strategy.num_replicas_in_sync
        )
        for module, optimizer in zip(
            stack.gim_modules, self.optimizers, strict=True
        ):
            optimizer.build(module.trainable_variables)
        self._steps = [
            _compiled(step) if jit_compile else step
            for step in map(
                self._module_step,
                stack.module_names,
                stack.gim_modules,
                self.optimizers,
            )
        ]
        self._encodes = [
            _compiled(module.encode) if jit_compile else module.encode
            for module in stack.gim_modules
        ]
        step: Callable[..., Metrics] = self.train_step
        advance: Callable[..., tuple[Metrics, tf.Tensor]] = self.advance
        if strategy is not None:
            step = functools.partial(self._step_on_replicas, strategy)
            advance = functools.partial(self._advance_on_replicas, strategy)
        self.compiled_step, self.compiled_advance = (
            tf.function(function, reduce_retracing=True, autograph=False)
            for function in (step, advance)
        )

    def train_step(
        self,
        x: tf.Tensor,
        labels: tf.Tensor,
        trained: tuple[bool, ...],
    ) -> Metrics:
        """Updates the chosen modules on one batch.

        Args:
          x: [b, t, s, *local, c] float32, the first module's input.
          labels: [b] int64, -1 where there is none.
          trained: Python bools, so that each phase of a schedule is one
            trace; modules above the last trained one do not run.

        Returns:
          For each trained module: "loss" [], "accuracy" [], "per_step" [K],
          "gradient_norm" [], all float32.
        """
        return self.advance(x, labels, trained)[0]

    def advance(
        self,
        x: tf.Tensor,
        labels: tf.Tensor,
        trained: tuple[bool, ...],
    ) -> tuple[Metrics, tf.Tensor]:
        """`train_step`, and what the last module that ran gave.

        That is the map [b, t', s, *local', d] from before its update, on
        which the module above it trains in the same step.
        """
        metrics: Metrics = {}
        last = max(i for i, is_trained in enumerate(trained) if is_trained)
        for name, step, encode, is_trained in zip(
            self.stack.module_names[: last + 1],
            self._steps,
            self._encodes,
            trained,
            strict=False,
        ):
            if is_trained:
                x, metrics[name] = step(x, labels)
            else:
                x = encode(x)
        return metrics, x

    def _module_step(
        self,
        name: str,
        module: GIMModule,
        optimizer: keras.optimizers.Optimizer,
    ) -> _Step:
        """One module's part of a step: its output, and its metrics."""

        def step(
            x: tf.Tensor, labels: tf.Tensor
        ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
            with tf.GradientTape() as tape:
                output: ModuleOutput = module(x, labels, training=True)
                loss = optimizer.scale_loss(output.loss)
            with tf.name_scope(f"{name}_backward"):  # for profiles
                gradients = tape.gradient(loss, module.trainable_variables)
            with tf.name_scope(f"{name}_update"):
                gradients = replicas.mean(gradients)
                norm = gradient_norm(optimizer, gradients)
                z = self._update(module, optimizer, gradients, output.z)
            return z, {
                "loss": output.loss,
                "gradient_norm": norm,
                **output.metrics,
            }

        return step

    def _step_on_replicas(
        self,
        strategy: tf.distribute.Strategy,
        x: tf.Tensor,
        labels: tf.Tensor,
        trained: tuple[bool, ...],
    ) -> Metrics:
        """`train_step` by the replicas of this process, each on its part."""
        return self._advance_on_replicas(strategy, x, labels, trained)[0]

    def _advance_on_replicas(
        self,
        strategy: tf.distribute.Strategy,
        x: tf.Tensor,
        labels: tf.Tensor,
        trained: tuple[bool, ...],
    ) -> tuple[Metrics, tf.Tensor]:
        """`advance` by the replicas of this process, each on its part.

        Metrics are means over all replicas, those of other processes too; the
        maps of this process's replicas stand one after the other, in order.
        """

        def advance(
            x: tf.Tensor, labels: tf.Tensor
        ) -> tuple[Metrics, tf.Tensor]:
            metrics, z = self.advance(x, labels, trained)
            return replicas.mean(metrics), z

        parts = [replicas.parts(strategy, value) for value in (x, labels)]
        local = strategy.experimental_local_results
        metrics, z = strategy.run(advance, args=tuple(parts))
        first = tf.nest.map_structure(lambda value: local(value)[0], metrics)
        return first, tf.concat(local(z), 0)

    def _update(
        self,
        module: GIMModule,
        optimizer: keras.optimizers.Optimizer,
        gradients: Sequence[tf.Tensor],
        z: tf.Tensor,
    ) -> tf.Tensor:
        """Applies a module's gradients; returns the next module's input.

        The next module may only start once these gradients exist: that is
        the moment from which nothing holds this module's activations.
        """
        optimizer.apply(gradients, module.trainable_variables)
        with tf.control_dependencies(gradients):
            return tf.identity(z)


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return tf.function(
        function, jit_compile=True, autograph=False, reduce_retracing=True
    )
