"""Greedy InfoMax on CIFAR-10: the small recipe on colour photographs.

Paper row: none; the recipe of `stl10_gim`, made small for 32x32 pictures.
Expected:  see docs/results.md, as far as it was run.
Cost:      about 30 minutes on two CPU cores.
Command:   gim run --experiment cifar10_gim \
               --data cifar10-train.tfrecord.gz \
               --output-dir outputs/cifar10_gim

The file is TFRecords of `image` (JPEG or PNG bytes), `label` and `id`; a tenth
of it, chosen by a hash of the ids, is held out for testing. With TFDS instead:
`--set data.source=tfds --data cifar10 --set data.holdout=0.0`.
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

VIEW = PatchViewConfig(
    size=32,
    pad_to=36,
    crop_size=32,
    channels=1,
    mean=(0.4789,),  # luma of the 50,000 training images
    std=(0.2386,),
    patch_size=8,
    patch_stride=4,
)

EXPERIMENT = Experiment(
    name="cifar10_gim",
    summary="Greedy InfoMax, three small modules, on CIFAR-10",
    paper="(none: the STL-10 recipe made small)",
    cost="30 minutes on 2 cores",
    data=DataConfig(
        source="tfrecord",
        class_names=(
            "airplane",
            "automobile",
            "bird",
            "cat",
            "deer",
            "dog",
            "frog",
            "horse",
            "ship",
            "truck",
        ),
        holdout=0.1,
    ),
    view=VIEW,
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
        num_steps=4 * (45_000 // 32),
        batch_size=32,
        learning_rate=1e-3,
        log_every=100,
        checkpoint_every=500,
    ),
    # The 7x7 grids of 45,000 pictures would take 4 GB.
    probe=ProbeConfig(grid=False),
)
