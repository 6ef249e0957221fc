"""Supervised training on LibriSpeech: which phone, one module, end to end.

The convolutions and the GRU of `librispeech_gim` as one module, whose objective
is the cross-entropy of a linear head on each frame's context, one of 41 phones;
their file is read as for `librispeech_gim`.

Paper row: "Supervised", LibriSpeech train-clean-100, phones.
Expected:  phones 77.7 % in the paper (from memory, unverified); not run by us.
Cost:      as `librispeech_gim`.
Command:   gim run --experiment librispeech_supervised_phones \
               --data LibriSpeech/ \
               --output-dir outputs/librispeech_supervised_phones
"""

import dataclasses

from gim_tf.config import SupervisedConfig
from gim_tf.experiments.librispeech_gim import EXPERIMENT as GIM

EXPERIMENT = dataclasses.replace(
    GIM,
    name="librispeech_supervised_phones",
    summary="Supervised by phone: the same blocks and GRU, end to end",
    paper="LibriSpeech, supervised, phones",
    stack=dataclasses.replace(
        GIM.stack,
        module_sizes=(5,),
        objective=SupervisedConfig(labels_of="frame"),
    ),
)
