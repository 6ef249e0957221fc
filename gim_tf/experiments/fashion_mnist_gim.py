"""Greedy InfoMax on the embedded 10,000 Fashion-MNIST images.

Paper row: none; the recipe of `stl10_gim`, made small: three modules of one
           basic block each, patches of 8 with stride 4 in a 7x7 grid.
Expected:  see the results table of the README (mean and spread of 3 seeds).
Cost:      under 15 minutes on two CPU cores.
Command:   gim run --experiment fashion_mnist_gim \
               --output-dir outputs/fashion_mnist_gim
"""

from gim_tf.config import (
    DataConfig,
    Experiment,
    InfoNCEConfig,
    PatchViewConfig,
    ResNetConfig,
    StackConfig,
    TrainingConfig,
)

EXPERIMENT = Experiment(
    name="fashion_mnist_gim",
    summary="Greedy InfoMax, three small modules, on embedded Fashion-MNIST",
    paper="(none: the STL-10 recipe made small)",
    cost="15 minutes on 2 cores",
    data=DataConfig(
        source="embedded",
        class_names=(
            "t-shirt",
            "trouser",
            "pullover",
            "dress",
            "coat",
            "sandal",
            "shirt",
            "sneaker",
            "bag",
            "ankle boot",
        ),
    ),
    view=PatchViewConfig(
        size=28,
        pad_to=36,
        crop_size=32,
        channels=1,
        mean=(0.2860,),  # of the 60,000 training images before padding
        std=(0.3530,),
        patch_size=8,
        patch_stride=4,
    ),
    stack=StackConfig(
        encoder=ResNetConfig(
            block="basic",
            stem_channels=32,
            planes=(32, 64, 128),
            depths=(1, 1, 1),
        ),
        module_sizes=(2, 1, 1),
        objective=InfoNCEConfig(prediction_steps=4, num_negatives=16),
    ),
    training=TrainingConfig(num_steps=624, batch_size=64, learning_rate=1e-3),
)
