"""Supervised training on LibriSpeech: who speaks, one module, end to end.

The convolutions and the GRU of `librispeech_gim` as one module, whose objective
is the cross-entropy of a linear head on the mean context; one class a speaker
that ingest finds, 251 in train-clean-100.

Paper row: "Supervised", LibriSpeech train-clean-100, speakers.
Expected:  speakers 98.9 % (read off the authors' figure); not run by us. The
           paper's 77.7 % of phones (from memory, unverified) is of another
           training, by phone labels.
Cost:      as `librispeech_gim`.
Command:   gim run --experiment librispeech_supervised --data LibriSpeech/ \
               --output-dir outputs/librispeech_supervised
"""

import dataclasses

from gim_tf.config import SupervisedConfig
from gim_tf.experiments.librispeech_gim import EXPERIMENT as GIM

EXPERIMENT = dataclasses.replace(
    GIM,
    name="librispeech_supervised",
    summary="Supervised by speaker: the same blocks and GRU, end to end",
    paper="LibriSpeech, supervised, speakers",
    stack=dataclasses.replace(
        GIM.stack,
        module_sizes=(5,),
        objective=SupervisedConfig(),
    ),
)
