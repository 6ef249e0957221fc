"""Greedy InfoMax whose last convolution and GRU are one module.

Paper row: an ablation of the authors' code (5 modules).
Expected:  not known; not run by us.
Cost:      as `librispeech_gim`.
Command:   gim run --experiment librispeech_gim_joint_gru \
               --data LibriSpeech/ \
               --output-dir outputs/librispeech_gim_joint_gru
"""

import dataclasses

from gim_tf.experiments.librispeech_gim import EXPERIMENT as GIM

EXPERIMENT = dataclasses.replace(
    GIM,
    name="librispeech_gim_joint_gru",
    summary="Greedy InfoMax, the last convolution and the GRU as one module",
    paper="LibriSpeech, ablation: 5 modules",
    stack=dataclasses.replace(GIM.stack, module_sizes=(1, 1, 1, 1, 1)),
)
