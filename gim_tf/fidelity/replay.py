"""A golden case, computed again by our stack and our trainer."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from gim_tf import build
from gim_tf.fidelity.cases import Case
from gim_tf.fidelity.draws import Grid, recorded_draw
from gim_tf.fidelity.settings import experiment_of
from gim_tf.interop import Entry, entries, from_authors
from gim_tf.losses.negatives import Draw, RecordedNegatives
from gim_tf.module import GIMModule
from gim_tf.shapes import pool_local

_HALF_ULP = 2.0**-24


class Replay:
    """A stack with the weights of a case, fed with its inputs and draws.

    Everything runs as graphs, the training step through `GIMTrainer`.

    Args:
      case: the stack trains away from it, until `restart`.

    Raises:
      GoldenError: the case is none that our experiments describe.
      WeightsError: its arrays are not those of the network.
    """

    def __init__(self, case: Case) -> None:
        self.case = case
        experiment = experiment_of(case)
        self.stack = build.build_stack(experiment, RecordedNegatives)
        self.trainer = build.build_trainer(experiment, self.stack)
        self.entries: dict[str, Entry] = {
            entry.name: entry for entry in entries(self.stack)
        }
        from_authors(self.stack, self._initial())
        variables = list(self.stack.trainable_variables)
        for optimizer in self.trainer.optimizers:
            variables += optimizer.variables
        self._at_first = [(one, one.numpy()) for one in variables]
        self._to_grid = build.build_to_grid(experiment)
        objective = experiment.stack.objective
        self._kind = getattr(objective, "negatives", "uniform")
        self._shapes: list[tuple[int, ...]] = []
        self._trained = [
            module
            for index, module in enumerate(self.stack.gim_modules)
            if self._is_trained(index)
        ]
        self._forward_step = tf.function(self._forward_graph, autograph=False)
        self._gradients_step = tf.function(
            self._gradients_graph, autograph=False
        )
        self._train_step = tf.function(self._train_graph, autograph=False)

    def restart(self, noise: int) -> None:
        """Back to the case's weights, changed as rounding may change them.

        Args:
          noise: seed of a relative change of every weight by at most 2^-24,
            half a unit in its last place.
        """
        for variable, value in self._at_first:
            variable.assign(value)
        self._shake(np.random.default_rng(noise))

    def forward(self) -> list[tuple[np.ndarray, ...]]:
        """(z, pooled z, context) of every module; each [b, t, s, ...]."""
        found = [_numpy(maps) for maps in self._forward_step(self._grid(0))]
        self._shapes = [pooled.shape[:3] for _, pooled, _ in found]
        return found

    def layers(self) -> list[np.ndarray]:
        """What every block returns, then a context that is not z."""
        run = tf.function(self._layers_graph, autograph=False)
        return list(_numpy(run(self._grid(0))))

    def gradients(self) -> dict[str, np.ndarray]:
        """By their names, at the first step; of what is trained and used."""
        found = _numpy(self._gradients_step(self._grid(0), self._draws(0)))
        keys = (id(v) for m in self._trained for v in m.trainable_variables)
        return self._by_their_names(dict(zip(keys, found, strict=True)))

    def train(self) -> Iterator[np.ndarray]:
        """Losses [trained modules] of each step, each before its update."""
        for step in range(self.case.steps):
            losses = self._train_step(self._grid(step), self._draws(step))
            yield np.array(_numpy(losses))

    def weights(self) -> dict[str, np.ndarray]:
        """Of now, by their names; only what ours has."""
        variables = self.stack.trainable_variables
        return self._by_their_names({id(v): v.numpy() for v in variables})

    def _initial(self) -> dict[str, np.ndarray]:
        """The weights of the case, W_k scaled where they are drawn."""
        weights = dict(self.case.weights())
        if not self.case.entry["recipe"]:
            return weights
        for index, scale in self.case.entry["wk_scale"].items():
            w_k = self.stack.gim_modules[int(index)].objective.w_k
            for name, entry in self.entries.items():
                if entry.variable is w_k:
                    weights[name] = weights[name] * np.float32(scale)
        return weights

    def _shake(self, generator: np.random.Generator) -> None:
        for variable in self.stack.trainable_variables:
            weights = variable.numpy()
            change = generator.uniform(-_HALF_ULP, _HALF_ULP, weights.shape)
            variable.assign((weights * (1.0 + change)).astype(weights.dtype))

    def _is_trained(self, index: int) -> bool:
        return self.case.trained_module in (None, index)

    def _grid(self, step: int) -> tf.Tensor:
        """The stack's input at a step."""
        return self._to_grid(tf.constant(self.case.input(step)))

    def _draws(self, step: int) -> list[Draw]:
        """Of the trained modules."""
        if not self._shapes:
            self.forward()
        return [
            self._draw(step, index)
            for index in range(len(self._shapes))
            if self._is_trained(index)
        ]

    def _draw(self, step: int, index: int) -> Draw:
        prefix = f"rand/step{step}/module{index}/"
        arrays = self.case.arrays
        drawn = {
            name.removeprefix(prefix): arrays[name]
            for name in arrays
            if name.startswith(prefix)
        }
        objective = self.stack.gim_modules[index].objective
        time = self._shapes[index][1]
        grid = Grid(
            self._shapes[index],
            window=min(objective.window or time, time),
            offsets=objective.offsets,
            num_negatives=objective.num_negatives,
        )
        return recorded_draw(self._kind, drawn, grid)

    def _by_their_names(
        self, ours: Mapping[int, np.ndarray]
    ) -> dict[str, np.ndarray]:
        return {
            name: entry.extract(ours[id(entry.variable)])
            for name, entry in self.entries.items()
            if id(entry.variable) in ours
        }

    def _forward_graph(self, x: tf.Tensor) -> list[tuple[tf.Tensor, ...]]:
        outputs = []
        for module in self.stack.gim_modules:
            x = module.encode(x)
            pooled = pool_local(x)
            outputs.append((x, pooled, module.contextualise(pooled)))
        return outputs

    def _layers_graph(self, x: tf.Tensor) -> list[tf.Tensor]:
        outputs = []
        for module in self.stack.gim_modules:
            for block in module.encoder.blocks:
                x = block(x)
                outputs.append(x)
        if module.autoregressor is not None:
            outputs.append(module.contextualise(x))
        return outputs

    def _gradients_graph(
        self, x: tf.Tensor, draws: list[Draw]
    ) -> list[tf.Tensor]:
        _record(self._trained, draws)
        found: list[tf.Tensor] = []
        for module in self.stack.gim_modules:
            if module not in self._trained:
                x = module.encode(x)
                continue
            with tf.GradientTape() as tape:
                output = module(x, training=True)
            found += tape.gradient(output.loss, module.trainable_variables)
            x = output.z
        return found

    def _train_graph(self, x: tf.Tensor, draws: list[Draw]) -> list[tf.Tensor]:
        _record(self._trained, draws)
        labels = -tf.ones(tf.shape(x)[:1], tf.int64)
        trained = tuple(m in self._trained for m in self.stack.gim_modules)
        metrics: dict[str, Any] = self.trainer.train_step(x, labels, trained)
        return [one["loss"] for one in metrics.values()]


def _record(modules: Iterable[GIMModule], draws: Iterable[Draw]) -> None:
    for module, draw in zip(modules, draws, strict=True):
        module.objective.sampler.record(draw)


def _numpy(tensors: Iterable[tf.Tensor]) -> tuple[np.ndarray, ...]:
    return tuple(tensor.numpy() for tensor in tensors)
