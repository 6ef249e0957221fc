"""A network divided by depth into gradient-isolated modules."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from gim_tf.module import Chain, GIMModule
from gim_tf.shapes import BatchApply, pool_grid


@keras.saving.register_keras_serializable(package="gim_tf")
class GIMStack(keras.Model):
    """Ordered modules; calling it encodes and computes no loss.

    Args:
      gim_modules: first to last; each reads what the one before returns.
      first: number of the first one, above 1 in a part of a stack.
      **kwargs: of `keras.Model`.

    Input: [b, t, s, *local, c] float32.
    Output: {"module_1": [b, d_1], ..., "module_M": [b, d_M]}, each module's
      representation averaged over local positions, time and lanes.
    """

    def __init__(
        self,
        gim_modules: Sequence[GIMModule],
        first: int = 1,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        if not gim_modules:
            raise ValueError("GIMStack needs at least one module.")
        self.first = first
        self.gim_modules = list(gim_modules)

    @property
    def module_names(self) -> tuple[str, ...]:
        """The public keys "module_1" .. "module_M", 1-based as in the paper."""
        return tuple(
            f"module_{index}"
            for index in range(self.first, self.first + len(self.gim_modules))
        )

    def call(
        self, x: tf.Tensor, training: bool = False
    ) -> dict[str, tf.Tensor]:
        grids = self.grids(x, training=training)
        return {name: pool_grid(grid) for name, grid in grids.items()}

    def grids(
        self, x: tf.Tensor, *, training: bool = False
    ) -> dict[str, tf.Tensor]:
        """Representations before the mean over the grid: [b, t, s, d] each."""
        grids = {}
        for name, module in zip(
            self.module_names, self.gim_modules, strict=True
        ):
            x = module.encode(x, training=training)
            grids[name] = module.represent(x)
        return grids

    def get_config(self) -> dict[str, object]:
        serialize = keras.saving.serialize_keras_object
        modules = [serialize(module) for module in self.gim_modules]
        return {
            "name": self.name,
            "first": self.first,
            "gim_modules": modules,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None
    ) -> "GIMStack":
        modules = [
            keras.saving.deserialize_keras_object(module, custom_objects)
            for module in config["gim_modules"]
        ]
        first = config.get("first", 1)  # configurations from before parts
        return cls(modules, first, name=config["name"])


def part(stack: GIMStack, first: int, last: int) -> GIMStack:
    """Consecutive modules of a stack, under the numbers they have there.

    Args:
      stack: built.
      first: number of the first module, from 1.
      last: number of the last one.

    Returns:
      A built stack of the same module objects. Its input is what module
      `first - 1` returns.
    """
    chosen = stack.gim_modules[first - stack.first : last - stack.first + 1]
    found = GIMStack(chosen, first, name=f"{stack.name}_{first}_{last}")
    found.built = True
    return found


def partition(
    blocks: Sequence[keras.layers.Layer], sizes: Sequence[int]
) -> list[list[keras.layers.Layer]]:
    """Divides blocks by depth into consecutive groups of the given sizes.

    A group may be empty: the encoder of a module that is an autoregressor
    alone.

    Raises:
      ValueError: a size is negative, or they do not sum to the blocks.
    """
    if sum(sizes) != len(blocks) or min(sizes, default=0) < 0:
        raise ValueError(
            f"Expected sizes from 0 that sum to {len(blocks)} blocks, "
            f"received {tuple(sizes)}."
        )
    remaining = iter(blocks)
    return [[next(remaining) for _ in range(size)] for size in sizes]


def divided(stack: GIMStack, sizes: Sequence[int]) -> GIMStack:
    """The same layers, cut at other depths, to encode with.

    What an end-to-end network represents at each depth is what the modules of
    another partition would. Training knows nothing of it: the weights are
    shared, and the parts have no objective of their own but the last one's.

    Args:
      stack: built.
      sizes: blocks of each part; those of its modules give the stack itself.

    Returns:
      A stack whose last part has the last module's autoregressor.

    Raises:
      ValueError: see `partition`.
    """
    chains = [_chain(module.encoder) for module in stack.gim_modules]
    if [len(chain.blocks) for chain in chains] == list(sizes):
        return stack
    blocks = [block for chain in chains for block in chain.blocks]
    last = stack.gim_modules[-1]
    on_cells = isinstance(last.encoder, BatchApply)
    parts = []
    for index, group in enumerate(partition(blocks, sizes), 1):
        chain = Chain(group, name="chain")
        parts.append(
            GIMModule(
                BatchApply(chain, name="encoder") if on_cells else chain,
                last.objective,
                last.autoregressor if index == len(sizes) else None,
                representation=last.representation,
                name=f"module_{index}",
            )
        )
    return GIMStack(parts, name=stack.name)


def _chain(encoder: keras.layers.Layer) -> Chain:
    return encoder.layer if isinstance(encoder, BatchApply) else encoder
