"""Supervised training on CIFAR-10: one module, end to end.

The blocks of `cifar10_gim` as one module, whose objective is the cross-entropy
of a linear head on the pooled grid; the labels are those that the probes get.

Paper row: none; `stl10_supervised`, made small.
Expected:  see docs/results.md, as far as it was run.
Cost:      about a quarter of the training of `cifar10_gim`.
Command:   gim run --experiment cifar10_supervised \
               --data cifar10-train.tfrecord.gz \
               --output-dir outputs/cifar10_supervised
"""

import dataclasses

from gim_tf.config import SupervisedConfig
from gim_tf.experiments.cifar10_gim import EXPERIMENT as GIM

EXPERIMENT = dataclasses.replace(
    GIM,
    name="cifar10_supervised",
    summary="Supervised: the same blocks as one module, end to end",
    paper="(none: the STL-10 baseline made small)",
    cost="10 minutes on 2 cores, estimated",
    stack=dataclasses.replace(
        GIM.stack,
        module_sizes=(4,),
        objective=SupervisedConfig(),
    ),
)
