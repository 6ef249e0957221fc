"""PredSim on CIFAR-10 with its authors' encoder, VGG8b.

Seven modules of one layer each over the whole picture. It differs from theirs
in three ways: a quarter of the channels (`--set stack.encoder.width=1.0` for
all of them); gray pictures and the recipe of `cifar10_gim`, as all systems
here; no batch normalisation and no dropout.

Paper row: none; Nøkland & Eidnes (2019), "vgg8b" with "predsim".
Expected:  5.58 % error in the authors' README, with 400 epochs of colour
           pictures at full width, by their own output layer; ours: 41.7 %
           accuracy after one epoch, 48.0 % of the fourth module's features
           (docs/results.md).
Cost:      6.5 minutes an epoch on one CPU core, and as long for the probes;
           16 times that at full width, calculated.
Command:   gim run --experiment cifar10_predsim_vgg8b \
               --data cifar10-train.tfrecord.gz \
               --output-dir outputs/cifar10_predsim_vgg8b
"""

import dataclasses

from gim_tf.config import Conv2DConfig
from gim_tf.experiments.cifar10_gim import VIEW
from gim_tf.experiments.cifar10_predsim import EXPERIMENT as PREDSIM

EXPERIMENT = dataclasses.replace(
    PREDSIM,
    name="cifar10_predsim_vgg8b",
    summary="PredSim with the authors' encoder, VGG8b, a quarter as wide",
    paper="(none: the original encoder)",
    cost="1 hour on 2 cores, from one epoch",
    view=dataclasses.replace(VIEW, patch_size=1, patch_stride=1),
    stack=dataclasses.replace(
        PREDSIM.stack,
        encoder=Conv2DConfig(
            channels=(128, 256, 256, 512, 512, 512, 1024),
            kernel_sizes=(3, 3, 3, 3, 3, 3, 2),  # the last one sees it all
            strides=(1, 1, 1, 1, 1, 1, 1),
            paddings=(1, 1, 1, 1, 1, 1, 0),
            pool_sizes=(1, 1, 2, 1, 2, 2, 2),
            pool_strides=(1, 1, 2, 1, 2, 2, 2),
            width=0.25,
        ),
        module_sizes=(1, 1, 1, 1, 1, 1, 1),
    ),
)
