"""Greedy supervised training on 251 speakers of LibriSpeech.

The six modules of `librispeech_mini_gim`, cut from each other as there, each
trained by the cross-entropy of a linear head of its own: who speaks. Trained on
the labelled split, of the 200 recordings that are divided;
`librispeech_mini_gim` also hears the 51 shorter ones.

Paper row: none; `librispeech_greedy_supervised`, made small.
Expected:  see docs/results.md, as far as it was run.
Cost:      estimated: as `librispeech_mini_gim`.
Command:   gim run --experiment librispeech_mini_greedy_supervised \
               --data librispeech-mini.tar \
               --output-dir outputs/librispeech_mini_greedy_supervised
"""

import dataclasses

from gim_tf.config import SupervisedConfig
from gim_tf.experiments.librispeech_mini_gim import EXPERIMENT as GIM

EXPERIMENT = dataclasses.replace(
    GIM,
    name="librispeech_mini_greedy_supervised",
    summary="Greedy supervised: who speaks, for each of six modules",
    paper="(none: the LibriSpeech baseline made small)",
    data=dataclasses.replace(GIM.data, pretrain_split="train"),
    stack=dataclasses.replace(
        GIM.stack,
        objective=SupervisedConfig(),
    ),
)
