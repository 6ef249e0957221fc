"""Contrastive predictive coding on STL-10: one module, end to end.

The blocks of `stl10_gim` as one module, whose context is a gated masked
convolution over the rows above; the probe reads the encoder's output.

Paper row: "CPC", STL-10 linear probe.
Expected:  80.5 % in the paper (from secondary sources); not run by us.
Cost:      as `stl10_gim`.
Command:   gim run --experiment stl10_cpc --data stl10_binary/ \
               --output-dir outputs/stl10_cpc
"""

import dataclasses

from gim_tf.config import MaskedConvConfig
from gim_tf.experiments.stl10_gim import EXPERIMENT as GIM

EXPERIMENT = dataclasses.replace(
    GIM,
    name="stl10_cpc",
    summary="CPC: the same blocks as one module with a context, on STL-10",
    paper="STL-10, CPC",
    stack=dataclasses.replace(
        GIM.stack,
        module_sizes=(14,),
        autoregressor=MaskedConvConfig(num_layers=4),
        representation="z",
    ),
)
