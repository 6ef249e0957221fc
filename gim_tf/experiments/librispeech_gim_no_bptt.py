"""Greedy InfoMax on LibriSpeech without backpropagation through time.

Paper row: "Greedy InfoMax (no BPTT)", an ablation.
Expected:  phones 55.5 %, speakers 99.2 % in the paper (both from memory,
           unverified); not run by us.
Cost:      as `librispeech_gim`.
Command:   gim run --experiment librispeech_gim_no_bptt \
               --data LibriSpeech/ --output-dir outputs/librispeech_gim_no_bptt
"""

import dataclasses

from gim_tf.config import GRUConfig
from gim_tf.experiments.librispeech_gim import EXPERIMENT as GIM

EXPERIMENT = dataclasses.replace(
    GIM,
    name="librispeech_gim_no_bptt",
    summary="Greedy InfoMax whose GRU detaches its state at every step",
    paper="LibriSpeech, ablation: no BPTT",
    stack=dataclasses.replace(
        GIM.stack,
        autoregressor=GRUConfig(units=256, backpropagate_through_time=False),
    ),
)
