"""Local Deep InfoMax on five minutes of synthetic speech.

The convolutions and the GRU of `flite_gim` as one module, trained end to end to
tell a frame from those of other recordings, given the mean context of its own.

Paper row: none; Deep InfoMax, of Hjelm et al. (2019), like for like.
Expected:  see docs/results.md, as far as it was run.
Cost:      estimated: as `flite_gim`.
Command:   gim run --experiment flite_deep_infomax \
               --output-dir outputs/flite_deep_infomax
"""

import dataclasses

from gim_tf.config import DeepInfoMaxConfig
from gim_tf.experiments.flite_gim import EXPERIMENT as GIM

EXPERIMENT = dataclasses.replace(
    GIM,
    name="flite_deep_infomax",
    summary="Local Deep InfoMax: the same blocks and GRU as one module",
    paper="(none: like for like)",
    stack=dataclasses.replace(
        GIM.stack,
        module_sizes=(5,),
        objective=DeepInfoMaxConfig(mi_units=256),  # as the context
    ),
)
