"""Contrastive predictive coding on 251 speakers of LibriSpeech.

The convolutions and the GRU of `librispeech_mini_gim` as one module, end to
end.

Paper row: none; `librispeech_cpc`, made small.
Expected:  see docs/results.md, as far as it was run.
Cost:      estimated: as `librispeech_mini_gim`.
Command:   gim run --experiment librispeech_mini_cpc \
               --data librispeech-mini.tar \
               --output-dir outputs/librispeech_mini_cpc
"""

import dataclasses

from gim_tf.experiments.librispeech_mini_gim import EXPERIMENT as GIM

EXPERIMENT = dataclasses.replace(
    GIM,
    name="librispeech_mini_cpc",
    summary="CPC: the same blocks and GRU as one module",
    paper="(none: the LibriSpeech CPC made small)",
    stack=dataclasses.replace(
        GIM.stack,
        module_sizes=(5,),
    ),
)
