"""A golden case, computed again by our stack and our trainer."""

import copy
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf

from gim_tf import build
from gim_tf.errors import GoldenError
from gim_tf.fidelity.cases import STEPS, Case
from gim_tf.fidelity.draws import Grid, recorded_draw
from gim_tf.fidelity.settings import experiment_of
from gim_tf.interop import Entry, entries, from_authors
from gim_tf.losses import InfoNCE
from gim_tf.losses.negatives import RecordedNegatives
from gim_tf.shapes import pool_local
from gim_tf.training.trainer import GIMTrainer


class Replay:
    """A stack with the weights of a case, fed with its inputs and draws.

    Args:
      case: read once; the stack then trains away from it.

    Raises:
      GoldenError: the case is none that our experiments describe.
      WeightsError: its arrays are not those of the network.
    """

    def __init__(self, case: Case) -> None:
        self.case = case
        self.experiment = experiment_of(case)
        self.stack = build.build_stack(self.experiment)
        self.trainer: GIMTrainer = build.build_trainer(
            self.experiment, self.stack
        )
        self.entries: dict[str, Entry] = {
            entry.name: entry for entry in entries(self.stack)
        }
        from_authors(self.stack, self._weights())
        self._to_grid = build.build_to_grid(self.experiment)
        self._kind = self.experiment.stack.objective.negatives
        for module in self.stack.gim_modules:
            module.objective.sampler = RecordedNegatives(
                module.objective.num_negatives
            )

    @property
    def trained(self) -> tuple[bool, ...]:
        """Which modules the case trains."""
        only = self.case.trained_module
        return tuple(
            only in (None, index)
            for index in range(len(self.stack.gim_modules))
        )

    def grid(self, step: int) -> tf.Tensor:
        """The stack's input at a step."""
        return self._to_grid(tf.constant(self.case.input(step)))

    def forward(self, x: tf.Tensor) -> list[tuple[tf.Tensor, ...]]:
        """(z, pooled z, context) of every module; each [b, t, s, ...]."""
        outputs = []
        for module in self.stack.gim_modules:
            x = module.encode(x)
            pooled = pool_local(x)
            outputs.append((x, pooled, module.contextualise(pooled)))
        return outputs

    def layers(self, x: tf.Tensor) -> Iterator[tf.Tensor]:
        """What every block returns, then every context that is not z."""
        for module in self.stack.gim_modules:
            for block in module.encoder.blocks:
                x = block(x)
                yield x
        if module.autoregressor is not None:
            yield module.contextualise(x)

    def record(self, step: int) -> None:
        """Gives the samplers what was drawn at a step."""
        x = self.grid(step)
        for index, module in enumerate(self.stack.gim_modules):
            x = module.encode(x)
            if self.trained[index]:
                self._record(module.objective, x.shape[:3], step, index)

    def gradients(self) -> dict[str, np.ndarray]:
        """By their names, at the first step; of what is trained and used."""
        self.record(0)
        x, found = self.grid(0), {}
        for module, is_trained in zip(
            self.stack.gim_modules, self.trained, strict=True
        ):
            variables = module.trainable_variables
            with tf.GradientTape() as tape:
                output = module(x, training=True)
            if is_trained:
                slopes = tape.gradient(output.loss, variables)
                found.update(
                    (id(variable), slope.numpy())
                    for variable, slope in zip(variables, slopes, strict=True)
                )
            x = output.z
        return self._by_their_names(found)

    def train(self) -> Iterator[np.ndarray]:
        """Losses [trained modules] of each step, each before its update."""
        labels = -tf.ones((len(self.grid(0)),), tf.int64)
        for step in range(STEPS):
            self.record(step)
            metrics = self.trainer.train_step(
                self.grid(step), labels, self.trained
            )
            yield np.array([one["loss"].numpy() for one in metrics.values()])

    def weights(self) -> dict[str, np.ndarray]:
        """Of now, by their names; only what ours has."""
        variables = self.stack.trainable_variables
        return self._by_their_names({id(v): v.numpy() for v in variables})

    def _weights(self) -> dict[str, np.ndarray]:
        """The initial ones of the case, W_k scaled where they are drawn."""
        weights = copy.copy(self.case.weights())
        if not self.case.entry["recipe"]:
            return weights
        for index, scale in self.case.entry["wk_scale"].items():
            w_k = self.stack.gim_modules[int(index)].objective.w_k
            for name, entry in self.entries.items():
                if entry.variable is w_k:
                    weights[name] = weights[name] * np.float32(scale)
        return weights

    def _by_their_names(
        self, ours: Mapping[int, np.ndarray]
    ) -> dict[str, np.ndarray]:
        return {
            name: entry.extract(ours[id(entry.variable)])
            for name, entry in self.entries.items()
            if id(entry.variable) in ours
        }

    def _record(
        self, objective: InfoNCE, shape: tf.TensorShape, step: int, index: int
    ) -> None:
        prefix = f"rand/step{step}/module{index}/"
        arrays = self.case.arrays
        drawn = {
            name.removeprefix(prefix): arrays[name]
            for name in arrays
            if name.startswith(prefix)
        }
        if not drawn:
            raise GoldenError(f"{self.case.name} has no arrays {prefix}*.")
        time = shape[1]
        grid = Grid(
            shape,
            window=min(objective.window or time, time),
            offsets=objective.offsets,
            num_negatives=objective.num_negatives,
        )
        objective.sampler.record(recorded_draw(self._kind, drawn, grid))
