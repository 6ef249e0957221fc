"""Greedy InfoMax on LibriSpeech without the autoregressor.

Paper row: "Greedy InfoMax (no autoregressor)", an ablation; probe module 5.
Expected:  phones 50.8 %, speakers 99.1 % in the paper (both from memory,
           unverified); not run by us.
Cost:      as `librispeech_gim`.
Command:   gim run --experiment librispeech_gim_no_gru \
               --data LibriSpeech/ --output-dir outputs/librispeech_gim_no_gru
"""

import dataclasses

from gim_tf.experiments.librispeech_gim import EXPERIMENT as GIM

EXPERIMENT = dataclasses.replace(
    GIM,
    name="librispeech_gim_no_gru",
    summary="Greedy InfoMax, five convolutions and no GRU",
    paper="LibriSpeech, ablation: no autoregressor",
    stack=dataclasses.replace(
        GIM.stack,
        module_sizes=(1, 1, 1, 1, 1),
        autoregressor=None,
    ),
)
