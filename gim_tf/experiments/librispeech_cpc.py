"""Contrastive predictive coding on LibriSpeech: one module, end to end.

Paper row: "CPC", LibriSpeech train-clean-100, phones and speakers.
Expected:  speakers 99.6 % in the paper (from secondary sources), phones 64.9 %
           (from memory, unverified); not run by us.
Cost:      as `librispeech_gim`.
Command:   gim run --experiment librispeech_cpc --data LibriSpeech/ \
               --output-dir outputs/librispeech_cpc
"""

import dataclasses

from gim_tf.experiments.librispeech_gim import EXPERIMENT as GIM

EXPERIMENT = dataclasses.replace(
    GIM,
    name="librispeech_cpc",
    summary="CPC: the same blocks and GRU as one module, on LibriSpeech",
    paper="LibriSpeech, CPC",
    stack=dataclasses.replace(GIM.stack, module_sizes=(5,)),
)
