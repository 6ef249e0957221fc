"""PredSim on CIFAR-10, on the same encoder.

The three modules of `cifar10_gim`, each trained by labels: 0.99 times
similarity matching, 0.01 times the cross-entropy of a linear head.

Paper row: none; PredSim, of Nøkland & Eidnes (2019), like for like.
Expected:  see docs/results.md, as far as it was run.
Cost:      estimated: as `cifar10_gim`.
Command:   gim run --experiment cifar10_predsim \
               --data cifar10-train.tfrecord.gz \
               --output-dir outputs/cifar10_predsim
"""

import dataclasses

from gim_tf.config import PredSimConfig
from gim_tf.experiments.cifar10_gim import EXPERIMENT as GIM

EXPERIMENT = dataclasses.replace(
    GIM,
    name="cifar10_predsim",
    summary="PredSim: the same three modules, trained by labels",
    paper="(none: like for like)",
    stack=dataclasses.replace(
        GIM.stack,
        objective=PredSimConfig(),
    ),
)
