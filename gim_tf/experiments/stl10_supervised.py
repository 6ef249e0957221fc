"""Supervised training on STL-10: one module, end to end.

The blocks of `stl10_gim` as one module, whose objective is the cross-entropy of
a linear head on the pooled grid; trained on the 5,000 labelled images.

Paper row: "Supervised", STL-10.
Expected:  71.4 % (from memory, unverified); not run by us.
Cost:      5,000 images, 300 epochs of ResNet-50; a twentieth of `stl10_gim`.
Command:   gim run --experiment stl10_supervised --data stl10_binary/ \
               --output-dir outputs/stl10_supervised
"""

import dataclasses

from gim_tf.config import SupervisedConfig
from gim_tf.experiments.stl10_gim import EXPERIMENT as GIM

EXPERIMENT = dataclasses.replace(
    GIM,
    name="stl10_supervised",
    summary="Supervised: the same blocks as one module, end to end, on STL-10",
    paper="STL-10, supervised",
    cost="hours on one GPU",
    data=dataclasses.replace(GIM.data, pretrain_split="train"),
    stack=dataclasses.replace(
        GIM.stack,
        module_sizes=(14,),
        objective=SupervisedConfig(),
    ),
    training=dataclasses.replace(GIM.training, num_steps=300 * (5_000 // 32)),
)
