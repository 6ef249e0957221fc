"""Greedy InfoMax on LibriSpeech with a GRU in every module.

Paper row: an ablation of the authors' code.
Expected:  not known; not run by us.
Cost:      as `librispeech_gim`.
Command:   gim run --experiment librispeech_gim_every_gru \
               --data LibriSpeech/ \
               --output-dir outputs/librispeech_gim_every_gru
"""

import dataclasses

from gim_tf.experiments.librispeech_gim import EXPERIMENT as GIM

EXPERIMENT = dataclasses.replace(
    GIM,
    name="librispeech_gim_every_gru",
    summary="Greedy InfoMax, every convolution with a GRU of its own",
    paper="LibriSpeech, ablation: a GRU in every module",
    stack=dataclasses.replace(
        GIM.stack,
        module_sizes=(1, 1, 1, 1, 1),
        autoregressor_at="every",
    ),
)
