"""Supervised training on 251 speakers of LibriSpeech: who speaks.

The convolutions and the GRU of `librispeech_mini_gim` as one module, end to
end, whose objective is the cross-entropy of a linear head on the mean context.
Trained on the labelled split, of the 200 recordings that are divided;
`librispeech_mini_gim` also hears the 51 shorter ones.

Paper row: none; `librispeech_supervised`, made small.
Expected:  see docs/results.md, as far as it was run.
Cost:      estimated: as `librispeech_mini_gim`.
Command:   gim run --experiment librispeech_mini_supervised \
               --data librispeech-mini.tar \
               --output-dir outputs/librispeech_mini_supervised
"""

import dataclasses

from gim_tf.config import SupervisedConfig
from gim_tf.experiments.librispeech_mini_gim import EXPERIMENT as GIM

EXPERIMENT = dataclasses.replace(
    GIM,
    name="librispeech_mini_supervised",
    summary="Supervised by speaker: the same blocks and GRU, end to end",
    paper="(none: the LibriSpeech baseline made small)",
    data=dataclasses.replace(GIM.data, pretrain_split="train"),
    stack=dataclasses.replace(
        GIM.stack,
        module_sizes=(5,),
        objective=SupervisedConfig(),
    ),
)
