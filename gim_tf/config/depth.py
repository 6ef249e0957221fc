"""An experiment with fewer modules than it names, or with more."""

import dataclasses
from dataclasses import fields
from typing import Any

from gim_tf.config.encoders import Conv1DConfig, Conv2DConfig, ResNetConfig
from gim_tf.config.schema import Experiment, StackConfig
from gim_tf.config.validation import validate
from gim_tf.errors import ConfigError

# Of a further convolution; channels are the last one's.
_MORE = {
    "kernel_sizes": 3,
    "strides": 1,
    "paddings": 1,
    "pool_sizes": 1,
    "pool_strides": 1,
}


def at_depth(experiment: Experiment, depth: int) -> Experiment:
    """The experiment with `depth` modules.

    Up to its own number: its first ones, without the context network of the
    last where that one is left out. Beyond: modules of one block each, as the
    last one is: one more block in the last stage of a ResNet; else a
    convolution of kernel 3 and stride 1 with the last channels.

    Raises:
      ConfigError: that network cannot be made, trained or probed.
    """
    stack = experiment.stack
    if depth < 1:
        raise ConfigError(f"A network has 1 module or more, received {depth}.")
    more = depth - stack.num_modules
    ends = stack.autoregressor is not None and stack.autoregressor_at == "last"
    if more > 0 and ends:
        raise ConfigError(
            f"{experiment.name} ends with the context network of module "
            f"{stack.num_modules}; set stack.autoregressor_at='every' or "
            "stack.autoregressor=None to stack more modules on it."
        )
    sizes = (*stack.module_sizes, *(1,) * more)[:depth]
    cut = dataclasses.replace(
        stack,
        module_sizes=sizes,
        encoder=_encoder(stack, sum(sizes)),
        autoregressor=None if more < 0 and ends else stack.autoregressor,
    )
    found = dataclasses.replace(experiment, stack=cut)
    validate(found)
    return found


def first_depth(experiment: Experiment) -> int:
    """The fewest first modules that can be trained and probed by themselves.

    One, unless a probe asks for what only deeper ones have: labels of frames
    need the frame rate that the convolutions reach in the end.
    """
    for depth in range(1, experiment.stack.num_modules):
        try:
            at_depth(experiment, depth)
        except ConfigError:
            continue
        return depth
    return experiment.stack.num_modules


def _encoder(
    stack: StackConfig, blocks: int
) -> ResNetConfig | Conv1DConfig | Conv2DConfig:
    encoder = stack.encoder
    if isinstance(encoder, ResNetConfig):
        return _resnet(encoder, blocks)
    more = blocks - encoder.num_blocks
    values = {f.name: getattr(encoder, f.name) for f in fields(encoder)}
    cut: dict[str, Any] = {
        name: (*value, *(_MORE.get(name, value[-1]),) * more)[:blocks]
        for name, value in values.items()
        if isinstance(value, tuple)  # one number a block
    }
    return dataclasses.replace(encoder, **cut)


def _resnet(encoder: ResNetConfig, blocks: int) -> ResNetConfig:
    left = blocks - 1  # the stem is the first
    depths = []
    for planned in encoder.depths:
        depths.append(min(planned, left))
        left -= depths[-1]
    depths[-1] += left
    stages = sum(depth > 0 for depth in depths)
    return dataclasses.replace(
        encoder,
        planes=encoder.planes[:stages],
        depths=tuple(depths[:stages]),
    )
