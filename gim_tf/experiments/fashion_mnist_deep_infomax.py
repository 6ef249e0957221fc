"""Local Deep InfoMax on embedded Fashion-MNIST, on the same encoder.

The blocks of `fashion_mnist_gim` as one module, trained end to end to tell a
patch's features from those of other pictures, given all of its own picture's.

Paper row: none; Deep InfoMax, of Hjelm et al. (2019), like for like.
Expected:  see docs/results.md, as far as it was run.
Cost:      estimated: as `fashion_mnist_gim`.
Command:   gim run --experiment fashion_mnist_deep_infomax \
               --output-dir outputs/fashion_mnist_deep_infomax
"""

import dataclasses

from gim_tf.config import DeepInfoMaxConfig
from gim_tf.experiments.fashion_mnist_gim import EXPERIMENT as GIM

EXPERIMENT = dataclasses.replace(
    GIM,
    name="fashion_mnist_deep_infomax",
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
