"""Greedy supervised training on LibriSpeech: which phone.

The six modules of `librispeech_gim`, each trained by the cross-entropy of a
linear head of its own, which phone a frame is of.

Paper row: "Greedy supervised", LibriSpeech train-clean-100, phones.
Expected:  phones 73.4 % in the paper (from memory, unverified); not run by us.
Cost:      estimated: as `librispeech_gim`.
Command:   gim run --experiment librispeech_greedy_supervised_phones \
               --data LibriSpeech/ \
               --output-dir outputs/librispeech_greedy_supervised_phones
"""

import dataclasses

from gim_tf.config import SupervisedConfig
from gim_tf.experiments.librispeech_gim import EXPERIMENT as GIM

EXPERIMENT = dataclasses.replace(
    GIM,
    name="librispeech_greedy_supervised_phones",
    summary="Greedy supervised: phones, for each of six modules",
    paper="LibriSpeech, greedy supervised, phones",
    stack=dataclasses.replace(
        GIM.stack,
        objective=SupervisedConfig(labels_of="frame"),
    ),
)
