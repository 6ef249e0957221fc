"""PredSim on five minutes of synthetic speech: who speaks.

The six modules of `flite_gim`, each trained by the labels: 0.99 times
similarity matching, 0.01 times the cross-entropy of a linear head.

Paper row: none; PredSim, of Nøkland & Eidnes (2019), like for like.
Expected:  see docs/results.md, as far as it was run.
Cost:      estimated: as `flite_gim`.
Command:   gim run --experiment flite_predsim \
               --output-dir outputs/flite_predsim
"""

import dataclasses

from gim_tf.config import PredSimConfig
from gim_tf.experiments.flite_gim import EXPERIMENT as GIM

EXPERIMENT = dataclasses.replace(
    GIM,
    name="flite_predsim",
    summary="PredSim by speaker: the same six modules",
    paper="(none: like for like)",
    stack=dataclasses.replace(
        GIM.stack,
        objective=PredSimConfig(),
    ),
)
