"""PredSim on embedded Fashion-MNIST, on the same encoder.

The three modules of `fashion_mnist_gim`, each trained by labels: 0.99 times
similarity matching, 0.01 times the cross-entropy of a linear head.

Paper row: none; PredSim, of Nøkland & Eidnes (2019), like for like.
Expected:  see docs/results.md, as far as it was run.
Cost:      estimated: as `fashion_mnist_gim`.
Command:   gim run --experiment fashion_mnist_predsim \
               --output-dir outputs/fashion_mnist_predsim
"""

import dataclasses

from gim_tf.config import PredSimConfig
from gim_tf.experiments.fashion_mnist_gim import EXPERIMENT as GIM

EXPERIMENT = dataclasses.replace(
    GIM,
    name="fashion_mnist_predsim",
    summary="PredSim: the same three modules, trained by labels",
    paper="(none: like for like)",
    stack=dataclasses.replace(
        GIM.stack,
        objective=PredSimConfig(),
    ),
)
