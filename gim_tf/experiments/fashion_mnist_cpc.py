"""Contrastive predictive coding on embedded Fashion-MNIST: end to end.

The blocks of `fashion_mnist_gim` as one module, whose context is a gated masked
convolution over the rows above; the probe reads the encoder's output.

Paper row: none; `stl10_cpc`, made small.
Expected:  see docs/results.md, as far as it was run.
Cost:      estimated: three times that of `fashion_mnist_gim`.
Command:   gim run --experiment fashion_mnist_cpc \
               --output-dir outputs/fashion_mnist_cpc
"""

import dataclasses

from gim_tf.config import MaskedConvConfig
from gim_tf.experiments.fashion_mnist_gim import EXPERIMENT as GIM

EXPERIMENT = dataclasses.replace(
    GIM,
    name="fashion_mnist_cpc",
    summary="CPC: the same blocks as one module with a context",
    paper="(none: the STL-10 CPC made small)",
    cost="45 minutes on 2 cores, estimated",
    stack=dataclasses.replace(
        GIM.stack,
        module_sizes=(4,),
        autoregressor=MaskedConvConfig(num_layers=4),
        representation="z",
    ),
)
