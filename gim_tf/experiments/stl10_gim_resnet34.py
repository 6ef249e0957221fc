"""Greedy InfoMax on STL-10 with basic blocks: a ResNet-34 in three modules.

The recipe of `stl10_gim` with 64, 128 and 256 channels: 8,157,568 parameters
in the encoder and 430,080 in the predictors.

Paper row: none; an option of the authors' code.
Expected:  not known; not run by us.
Cost:      100,000 images, 300 epochs; a quarter of the work of `stl10_gim`.
Command:   gim run --experiment stl10_gim_resnet34 --data stl10_binary/ \
               --output-dir outputs/stl10_gim_resnet34
"""

import dataclasses

from gim_tf.config import ResNetConfig
from gim_tf.experiments.stl10_gim import EXPERIMENT as GIM

EXPERIMENT = dataclasses.replace(
    GIM,
    name="stl10_gim_resnet34",
    summary="Greedy InfoMax, ResNet-34 in three modules, on STL-10",
    paper="(none: an option of the authors' code)",
    stack=dataclasses.replace(
        GIM.stack,
        encoder=ResNetConfig(
            block="basic",
            stem_channels=64,
            planes=(64, 128, 256),
            depths=(3, 4, 6),
        ),
    ),
)
