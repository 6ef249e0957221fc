"""Local Deep InfoMax on CIFAR-10 with its authors' encoder, after AlexNet.

Five convolutions over the whole picture, end to end. It differs from theirs
(`alex64x64` of rdevon/DIM) in four ways: gray pictures of 32 pixels, as all
systems here; no batch normalisation; the local features are the output of the
last convolution, 7x7, not of the third; and their two layers of 4096 on top of
it are the mean over the grid and the objective's own network.

Paper row: none; Hjelm et al. (2019), on the data of `cifar10_gim`.
Expected:  after one epoch its own task is solved, and classes are told less
           well than by the untrained network (docs/results.md).
Cost:      11 minutes an epoch on one CPU core, and as long for the probes.
Command:   gim run --experiment cifar10_deep_infomax_alexnet \
               --data cifar10-train.tfrecord.gz \
               --output-dir outputs/cifar10_deep_infomax_alexnet
"""

import dataclasses

from gim_tf.config import Conv2DConfig, DeepInfoMaxConfig
from gim_tf.experiments.cifar10_deep_infomax import EXPERIMENT as DIM
from gim_tf.experiments.cifar10_gim import VIEW

EXPERIMENT = dataclasses.replace(
    DIM,
    name="cifar10_deep_infomax_alexnet",
    summary="Local Deep InfoMax with the authors' encoder, after AlexNet",
    paper="(none: the original encoder)",
    cost="1 hour on 2 cores, from one epoch",
    view=dataclasses.replace(VIEW, patch_size=1, patch_stride=1),
    stack=dataclasses.replace(
        DIM.stack,
        encoder=Conv2DConfig(
            channels=(96, 192, 384, 384, 192),
            kernel_sizes=(3, 3, 3, 3, 3),
            strides=(1, 1, 1, 1, 1),
            paddings=(1, 1, 1, 1, 1),
            pool_sizes=(1, 3, 3, 1, 1),
            pool_strides=(1, 2, 2, 1, 1),
        ),
        module_sizes=(5,),
        objective=DeepInfoMaxConfig(mi_units=1024),
    ),
)
