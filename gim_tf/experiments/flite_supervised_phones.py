"""Supervised training on five minutes of synthetic speech: which phone.

The convolutions and the GRU of `flite_gim` as one module, end to end, whose
objective is the cross-entropy of a linear head on each frame's context.

Paper row: none; `librispeech_supervised_phones`, made small.
Expected:  see docs/results.md, as far as it was run.
Cost:      estimated: as `flite_gim`.
Command:   gim run --experiment flite_supervised_phones \
               --output-dir outputs/flite_supervised_phones
"""

import dataclasses

from gim_tf.config import SupervisedConfig
from gim_tf.experiments.flite_gim import EXPERIMENT as GIM

EXPERIMENT = dataclasses.replace(
    GIM,
    name="flite_supervised_phones",
    summary="Supervised by phone: the same blocks and GRU, end to end",
    paper="(none: the LibriSpeech baseline made small)",
    stack=dataclasses.replace(
        GIM.stack,
        module_sizes=(5,),
        objective=SupervisedConfig(labels_of="frame"),
    ),
)
