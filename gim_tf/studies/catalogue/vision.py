"""Table of all systems on pictures: probe accuracy at the last module.

Paper:     the STL-10 table: linear probe on the last module, test accuracy.
Expected:  Greedy InfoMax near CPC, both above the untrained network; which of
           the supervised systems is best depends on the number of labels. The
           paper's figures stand in a column of their own: they are of STL-10
           with ResNet-50, ours of a small network on small pictures.
Cost:      a run of `DATASET_gim` a system and seed: on CIFAR-10 about half an
           hour on two cores.
Command:   gim study vision --data cifar10-train.tfrecord.gz --seeds 0,1,2 \
               --output-dir outputs/cifar10
           gim study vision --dataset fashion_mnist --seeds 0,1,2 \
               --output-dir outputs/fashion_mnist
"""

from gim_tf.studies.schema import Quoted, Study, System

SYSTEMS = (
    System(
        name="gim",
        title="Greedy InfoMax",
        paper={"class": Quoted(value=81.9, source="secondary")},
    ),
    System(
        name="cpc",
        title="CPC, end to end",
        experiment="{dataset}_cpc",
        by_depth=True,
        paper={"class": Quoted(value=80.5, source="secondary")},
    ),
    System(
        name="supervised",
        title="supervised, end to end",
        experiment="{dataset}_supervised",
        by_depth=True,
        paper={"class": Quoted(value=71.4, source="memory")},
    ),
    System(
        name="greedy_supervised",
        title="greedy supervised",
        experiment="{dataset}_greedy_supervised",
        paper={"class": Quoted(value=65.2, source="memory")},
    ),
    System(
        name="deep_infomax",
        title="local Deep InfoMax, same encoder",
        experiment="{dataset}_deep_infomax",
    ),
    System(
        name="deep_infomax_alexnet",
        title="local Deep InfoMax, AlexNet-style encoder",
        experiment="{dataset}_deep_infomax_alexnet",
        datasets=("cifar10",),
        paper={"class": Quoted(value=78.2, source="memory")},
    ),
    System(
        name="predsim",
        title="PredSim, same encoder",
        experiment="{dataset}_predsim",
    ),
    System(
        name="predsim_vgg8b",
        title="PredSim, VGG8b",
        experiment="{dataset}_predsim_vgg8b",
        datasets=("cifar10",),
        paper={"class": Quoted(value=80.8, source="memory")},
    ),
)

STUDY = Study(
    name="vision",
    summary="probe accuracy of all systems on pictures",
    paper="table of STL-10 accuracies",
    cost="a seed: 8 runs on CIFAR-10, 6 on others, about as DATASET_gim",
    datasets=("cifar10", "fashion_mnist"),
    systems=SYSTEMS,
    tables=("systems",),
    figures=("systems",),
    controls={"untrained": {"class": Quoted(value=27.0, source="memory")}},
    quoted_from="STL-10",
)
