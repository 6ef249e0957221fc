"""A step of one tape over all modules, to compare the library's own with."""

import tensorflow as tf

from gim_tf.training.trainer import GIMTrainer


def summed_step(
    trainer: GIMTrainer, x: tf.Tensor, labels: tf.Tensor
) -> tf.Tensor:
    """Updates all modules by the gradients of the sum of their losses.

    As the authors' code does it: every activation is kept until all modules
    have run. The weights after it equal those after `GIMTrainer.train_step`.

    Returns:
      The sum [], in nats.
    """
    with tf.GradientTape() as tape:
        losses = []
        descended = []
        for module, optimizer in zip(
            trainer.stack.gim_modules, trainer.optimizers, strict=True
        ):
            output = module(x, labels, training=True)
            losses.append(output.loss)
            descended.append(optimizer.scale_loss(output.loss))
            x = output.z
        total = tf.add_n(descended)
    parts = [m.trainable_variables for m in trainer.stack.gim_modules]
    for optimizer, variables, gradients in zip(
        trainer.optimizers, parts, tape.gradient(total, parts), strict=True
    ):
        optimizer.apply(gradients, variables)
    return tf.add_n(losses)
