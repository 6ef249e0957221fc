"""Table of all systems: probe accuracy at the last module.

Paper:     the tables of STL-10 (classes) and LibriSpeech (phones, speakers).
           Its figures stand in columns of their own: they are of those data
           with large networks, ours of small networks on small data.
Expected:  Greedy InfoMax near CPC, both above the untrained network; which of
           the supervised systems is best depends on the number of labels.
           Phones need frame labels: `librispeech_mini` has speakers alone.
           The paper's supervised networks were trained once by speakers and
           once by phones, and so are ours, which are probed for both.
Cost:      a run of `DATASET_gim` a system and seed: on CIFAR-10 about half an
           hour on two cores, 15 to 20 minutes on recordings.
Command:   gim study accuracy --set training.num_steps=100 \
               --output-dir outputs/fashion_mnist   # minutes, embedded data
           gim study accuracy --dataset cifar10 --seeds 0,1,2 \
               --data cifar10-train.tfrecord.gz --output-dir outputs/cifar10
           gim study accuracy --dataset flite --seeds 0,1,2 \
               --output-dir outputs/flite
"""

from gim_tf.studies.schema import Quoted, Study, System

_WITH_PHONES = ("flite", "librispeech")

SYSTEMS = (
    System(
        name="gim",
        title="Greedy InfoMax",
        paper={
            "class": Quoted(value=81.9, source="secondary"),
            "phone": Quoted(value=62.5, source="memory"),
            "speaker": Quoted(value=99.4, source="secondary"),
        },
    ),
    System(
        name="cpc",
        title="CPC, end to end",
        experiment="{dataset}_cpc",
        by_depth=True,
        paper={
            "class": Quoted(value=80.5, source="secondary"),
            "phone": Quoted(value=64.9, source="memory"),
            "speaker": Quoted(value=99.6, source="secondary"),
        },
    ),
    System(
        name="supervised",
        title="supervised, end to end",
        experiment="{dataset}_supervised",
        by_depth=True,
        paper={
            "class": Quoted(value=71.4, source="memory"),
            "speaker": Quoted(value=98.9, source="figure"),
        },
    ),
    System(
        name="supervised_phones",
        title="supervised by phones, end to end",
        experiment="{dataset}_supervised_phones",
        by_depth=True,
        datasets=_WITH_PHONES,
        paper={"phone": Quoted(value=77.7, source="memory")},
    ),
    System(
        name="greedy_supervised",
        title="greedy supervised",
        experiment="{dataset}_greedy_supervised",
        paper={
            "class": Quoted(value=65.2, source="memory"),
            "speaker": Quoted(value=98.7, source="figure"),
        },
    ),
    System(
        name="greedy_supervised_phones",
        title="greedy supervised by phones",
        experiment="{dataset}_greedy_supervised_phones",
        datasets=_WITH_PHONES,
        paper={"phone": Quoted(value=73.4, source="memory")},
    ),
    System(
        name="deep_infomax",
        title="local Deep InfoMax, same encoder",
        experiment="{dataset}_deep_infomax",
        by_depth=True,
    ),
    System(
        name="deep_infomax_alexnet",
        title="local Deep InfoMax, encoder after AlexNet",
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
        title="PredSim, after VGG8b, a quarter as wide",
        experiment="{dataset}_predsim_vgg8b",
        datasets=("cifar10",),
        paper={"class": Quoted(value=80.8, source="memory")},
    ),
)

STUDY = Study(
    name="accuracy",
    summary="probe accuracy of all systems",
    paper="tables of STL-10 and LibriSpeech accuracies",
    cost="a seed: 8 runs on CIFAR-10 and flite, 6 on others, as DATASET_gim",
    datasets=("fashion_mnist", "cifar10", "flite", "librispeech_mini"),
    systems=SYSTEMS,
    tables=("systems",),
    figures=("systems",),
    controls={
        "untrained": {
            "class": Quoted(value=27.0, source="memory"),
            "phone": Quoted(value=27.6, source="memory"),
            "speaker": Quoted(value=1.9, source="memory"),
        },
        "mfcc": {
            "phone": Quoted(value=39.7, source="memory"),
            "speaker": Quoted(value=17.6, source="memory"),
        },
    },
)
