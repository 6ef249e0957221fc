"""PredSim on 251 speakers of LibriSpeech: who speaks.

The six modules of `librispeech_mini_gim`, each trained by the labels: 0.99
times similarity matching, 0.01 times the cross-entropy of a linear head.
Trained on the labelled split, of the 200 recordings that are divided;
`librispeech_mini_gim` also hears the 51 shorter ones.

Paper row: none; PredSim, of Nøkland & Eidnes (2019), like for like.
Expected:  see docs/results.md, as far as it was run.
Cost:      estimated: as `librispeech_mini_gim`.
Command:   gim run --experiment librispeech_mini_predsim \
               --data librispeech-mini.tar \
               --output-dir outputs/librispeech_mini_predsim
"""

import dataclasses

from gim_tf.config import PredSimConfig
from gim_tf.experiments.librispeech_mini_gim import EXPERIMENT as GIM

EXPERIMENT = dataclasses.replace(
    GIM,
    name="librispeech_mini_predsim",
    summary="PredSim by speaker: the same six modules",
    paper="(none: like for like)",
    data=dataclasses.replace(GIM.data, pretrain_split="train"),
    stack=dataclasses.replace(
        GIM.stack,
        objective=PredSimConfig(),
    ),
)
