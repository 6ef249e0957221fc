"""Contrastive predictive coding on CIFAR-10: end to end.

The blocks of `cifar10_gim` as one module, whose context is a gated masked
convolution over the rows above; the probe reads the encoder's output.

Paper row: none; `stl10_cpc`, made small.
Expected:  see docs/results.md, as far as it was run.
Cost:      estimated: three times that of `cifar10_gim`.
Command:   gim run --experiment cifar10_cpc \
               --data cifar10-train.tfrecord.gz \
               --output-dir outputs/cifar10_cpc
"""

import dataclasses

from gim_tf.config import MaskedConvConfig
from gim_tf.experiments.cifar10_gim import EXPERIMENT as GIM

EXPERIMENT = dataclasses.replace(
    GIM,
    name="cifar10_cpc",
    summary="CPC: the same blocks as one module with a context",
    paper="(none: the STL-10 CPC made small)",
    cost="90 minutes on 2 cores, estimated",
    stack=dataclasses.replace(
        GIM.stack,
        module_sizes=(4,),
        autoregressor=MaskedConvConfig(num_layers=4),
        representation="z",
    ),
)
