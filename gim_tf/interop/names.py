"""Their name of every array, from the layers of a stack.

The layers decide, not a configuration: whatever stack is made of the blocks
of the two networks has names. Names and shapes say nothing about strides and
padding: those are the experiment's.
"""

from collections.abc import Iterator

import keras

from gim_tf.errors import WeightsError
from gim_tf.interop import patch_names, sequence_names
from gim_tf.interop.entries import Entry
from gim_tf.module import Chain, GIMModule
from gim_tf.shapes import BatchApply
from gim_tf.stack import GIMStack


def entries(stack: GIMStack) -> list[Entry]:
    """Every array of their state_dict, once, under its first name.

    Args:
      stack: built.

    Raises:
      WeightsError: their code has no such network; says what is foreign.
    """
    modules = stack.gim_modules
    blocks = [_blocks(module) for module in modules]
    everything = [block for inside in blocks for block in inside]
    if all(isinstance(block, patch_names.BLOCKS) for block in everything):
        return list(patch_names.patch_entries(modules, blocks))
    if all(isinstance(block, sequence_names.BLOCKS) for block in everything):
        return list(sequence_names.sequence_entries(modules, blocks))
    found = sorted({type(block).__name__ for block in everything})
    raise WeightsError(
        "The authors' encoders are made of residual blocks alone or of "
        f"convolutions along time alone, received {', '.join(found)}."
    )


def aliases(stack: GIMStack) -> dict[str, str]:
    """Second name -> first name of the arrays that they register twice."""
    return dict(_aliases(entries(stack)))


def _aliases(found: list[Entry]) -> Iterator[tuple[str, str]]:
    for entry in found:
        for first, second in patch_names.ALIASES.items():
            if entry.name.startswith(first):
                yield second + entry.name.removeprefix(first), entry.name


def _blocks(module: GIMModule) -> list[keras.layers.Layer]:
    encoder = module.encoder
    chain = encoder.layer if isinstance(encoder, BatchApply) else encoder
    if not isinstance(chain, Chain):
        raise WeightsError(
            f"The encoder of {module.name} must be a Chain of blocks for its "
            f"arrays to have names, received {type(chain).__name__}."
        )
    return chain.blocks
