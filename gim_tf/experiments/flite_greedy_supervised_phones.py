"""Greedy supervised training on five minutes of synthetic speech, by phones.

The six modules of `flite_gim`, cut from each other as there, each trained by
the cross-entropy of a linear head of its own: which phone a
frame is of.

Paper row: none; `librispeech_greedy_supervised_phones`, made small.
Expected:  see docs/results.md, as far as it was run.
Cost:      estimated: as `flite_gim`.
Command:   gim run --experiment flite_greedy_supervised_phones \
               --output-dir outputs/flite_greedy_supervised_phones
"""

import dataclasses

from gim_tf.config import SupervisedConfig
from gim_tf.experiments.flite_gim import EXPERIMENT as GIM

EXPERIMENT = dataclasses.replace(
    GIM,
    name="flite_greedy_supervised_phones",
    summary="Greedy supervised: phones, for each of six modules",
    paper="(none: the LibriSpeech baseline made small)",
    stack=dataclasses.replace(
        GIM.stack,
        objective=SupervisedConfig(labels_of="frame"),
    ),
)
