"""Supervised training on five minutes of synthetic speech: who speaks.

The convolutions and the GRU of `flite_gim` as one module, end to end, whose
objective is the cross-entropy of a linear head on the mean context.

Paper row: none; `librispeech_supervised`, made small.
Expected:  see docs/results.md, as far as it was run.
Cost:      estimated: as `flite_gim`.
Command:   gim run --experiment flite_supervised \
               --output-dir outputs/flite_supervised
"""

import dataclasses

from gim_tf.config import SupervisedConfig
from gim_tf.experiments.flite_gim import EXPERIMENT as GIM

EXPERIMENT = dataclasses.replace(
    GIM,
    name="flite_supervised",
    summary="Supervised by speaker: the same blocks and GRU, end to end",
    paper="(none: the LibriSpeech baseline made small)",
    stack=dataclasses.replace(
        GIM.stack,
        module_sizes=(5,),
        objective=SupervisedConfig(),
    ),
)
