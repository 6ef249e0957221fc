"""Greedy supervised training on embedded Fashion-MNIST: a head a module.

The three modules of `fashion_mnist_gim`, cut from each other as there, each
trained by the cross-entropy of a linear head of its own.

Paper row: none; `stl10_greedy_supervised`, made small.
Expected:  see docs/results.md, as far as it was run.
Cost:      about a quarter of the training of `fashion_mnist_gim`.
Command:   gim run --experiment fashion_mnist_greedy_supervised \
               --output-dir outputs/fashion_mnist_greedy_supervised
"""

import dataclasses

from gim_tf.config import SupervisedConfig
from gim_tf.experiments.fashion_mnist_gim import EXPERIMENT as GIM

EXPERIMENT = dataclasses.replace(
    GIM,
    name="fashion_mnist_greedy_supervised",
    summary="Greedy supervised: a classifier for each of three modules",
    paper="(none: the STL-10 baseline made small)",
    cost="5 minutes on 2 cores, estimated",
    stack=dataclasses.replace(
        GIM.stack,
        objective=SupervisedConfig(),
    ),
)
