"""Contrastive predictive coding on five minutes of synthetic speech.

The convolutions and the GRU of `flite_gim` as one module, end to end.

Paper row: none; `librispeech_cpc`, made small.
Expected:  see docs/results.md, as far as it was run.
Cost:      estimated: as `flite_gim`.
Command:   gim run --experiment flite_cpc \
               --output-dir outputs/flite_cpc
"""

import dataclasses

from gim_tf.experiments.flite_gim import EXPERIMENT as GIM

EXPERIMENT = dataclasses.replace(
    GIM,
    name="flite_cpc",
    summary="CPC: the same blocks and GRU as one module",
    paper="(none: the LibriSpeech CPC made small)",
    stack=dataclasses.replace(
        GIM.stack,
        module_sizes=(5,),
    ),
)
