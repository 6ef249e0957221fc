"""Local Deep InfoMax on CIFAR-10, on the same encoder.

The blocks of `cifar10_gim` as one module, trained end to end to tell a patch's
features from those of other pictures, given all of its own picture's.

Paper row: none; Deep InfoMax, of Hjelm et al. (2019), like for like.
Expected:  see docs/results.md, as far as it was run.
Cost:      estimated: as `cifar10_gim`.
Command:   gim run --experiment cifar10_deep_infomax \
               --data cifar10-train.tfrecord.gz \
               --output-dir outputs/cifar10_deep_infomax
"""

import dataclasses

from gim_tf.config import DeepInfoMaxConfig
from gim_tf.experiments.cifar10_gim import EXPERIMENT as GIM

EXPERIMENT = dataclasses.replace(
    GIM,
    name="cifar10_deep_infomax",
    summary="Local Deep InfoMax: the same blocks as one module",
    paper="(none: like for like)",
    stack=dataclasses.replace(
        GIM.stack,
        module_sizes=(4,),
        objective=DeepInfoMaxConfig(
            mi_units=256  # the paper's 1024 would cost more than the encoder
        ),
    ),
)
