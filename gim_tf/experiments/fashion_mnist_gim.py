"""Greedy InfoMax on the embedded 10,000 Fashion-MNIST images.

Paper row: none; the recipe of `stl10_gim`, made small: three modules of one
           bottleneck each, patches of 8 with stride 4 in a 7x7 grid.
Expected:  see docs/results.md (mean and spread of 3 seeds).
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
            block="bottleneck",
            stem_channels=32,
            stem_strides=2,  # a quarter of the work of the paper's stride 1
            planes=(16, 32, 64),
            depths=(1, 1, 1),
        ),
        module_sizes=(2, 1, 1),  # the stem and stage 1, stage 2, stage 3
        objective=InfoNCEConfig(
            prediction_steps=4,
            num_negatives=16,
            skip_steps=1,  # the next row overlaps the anchor's by half
        ),
    ),
    training=TrainingConfig(
        num_steps=12 * (10_000 // 32),
        batch_size=32,
        learning_rate=1e-3,
        log_every=52,
        checkpoint_every=312,
    ),
)
