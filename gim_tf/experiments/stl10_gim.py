"""Greedy InfoMax on STL-10: the paper's vision recipe.

Paper row: "Greedy InfoMax", STL-10 linear probe on the last module.
Expected:  81.9 % in the paper (from secondary sources); not run by us.
Differs:   the probe reads one centre view of each image, encoded once and
           standardised; the authors encode random views anew in each epoch.
Cost:      100,000 images, 300 epochs of ResNet-50; days on one GPU.
Command:   gim run --experiment stl10_gim --data stl10_binary/ \
               --output-dir outputs/stl10_gim
"""

from gim_tf.config import (
    DataConfig,
    Experiment,
    InfoNCEConfig,
    PatchViewConfig,
    ProbeConfig,
    ResNetConfig,
    StackConfig,
    TrainingConfig,
)

EXPERIMENT = Experiment(
    name="stl10_gim",
    summary="Greedy InfoMax, ResNet-50 in three modules, on STL-10",
    paper="STL-10, Greedy InfoMax",
    cost="days on one GPU",
    data=DataConfig(
        source="stl10",
        class_names=(
            "airplane",
            "bird",
            "car",
            "cat",
            "deer",
            "dog",
            "horse",
            "monkey",
            "ship",
            "truck",
        ),
        pretrain_split="unlabelled",
    ),
    view=PatchViewConfig(
        size=96,
        pad_to=96,
        crop_size=64,
        channels=1,
        mean=(0.4120,),  # of grayscale STL-10, the authors' constants
        std=(0.2570,),
        patch_size=16,
        patch_stride=8,
    ),
    stack=StackConfig(
        encoder=ResNetConfig(
            block="bottleneck",
            stem_channels=64,
            planes=(64, 128, 256),
            depths=(3, 4, 6),
        ),
        module_sizes=(4, 4, 6),  # the stem and stage 1, stage 2, stage 3
        objective=InfoNCEConfig(
            prediction_steps=5,
            num_negatives=16,
            skip_steps=1,  # the next row overlaps the anchor's by half
        ),
    ),
    training=TrainingConfig(
        num_steps=300 * (100_000 // 32),
        batch_size=32,
        learning_rate=2e-4,
        log_every=100,
        checkpoint_every=1000,
    ),
    probe=ProbeConfig(
        epochs=300, batch_size=32, learning_rate=1e-3, l2=0.0, grid=False
    ),
)
