"""The authors' initial weights: U(+-1/sqrt(fan_in)) for kernels and biases.

That is the default of the framework that the paper's code uses
(`torch.nn.Conv2d.reset_parameters`); Keras would draw Glorot and zeros.
"""

import math
import random
from collections.abc import Iterator

import keras


def uniform_fan_in(fan_in: int, seed: int) -> keras.initializers.Initializer:
    """Uniform in [-1/sqrt(fan_in), 1/sqrt(fan_in)], for kernel or bias."""
    bound = 1.0 / math.sqrt(fan_in)
    return keras.initializers.RandomUniform(-bound, bound, seed=seed)


def seeds(seed: int) -> Iterator[int]:
    """Endless distinct seeds, a function of one, for layers built in order."""
    generator = random.Random(seed)
    while True:
        yield generator.getrandbits(31)
