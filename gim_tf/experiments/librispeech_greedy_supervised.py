"""Greedy supervised training on LibriSpeech: who speaks.

The six modules of `librispeech_gim`, each trained by the cross-entropy of a
linear head of its own; one class a speaker that ingest finds.

Paper row: "Greedy supervised", LibriSpeech train-clean-100, speakers.
Expected:  speakers 98.7 % (read off the authors' figure); not run by us. The
           paper's 73.4 % of phones (from memory, unverified) is of another
           training, by phone labels.
Cost:      estimated: as `librispeech_gim`.
Command:   gim run --experiment librispeech_greedy_supervised \
               --data LibriSpeech/ \
               --output-dir outputs/librispeech_greedy_supervised
"""

import dataclasses

from gim_tf.config import SupervisedConfig
from gim_tf.experiments.librispeech_gim import EXPERIMENT as GIM

EXPERIMENT = dataclasses.replace(
    GIM,
    name="librispeech_greedy_supervised",
    summary="Greedy supervised: who speaks, for each of six modules",
    paper="LibriSpeech, greedy supervised, speakers",
    stack=dataclasses.replace(
        GIM.stack,
        objective=SupervisedConfig(),
    ),
)
