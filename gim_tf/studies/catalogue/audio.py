"""Table of all systems on recordings: probes of phones and speakers.

Paper:     the LibriSpeech table: linear probes of phones and of speakers on
           the last module, with its ablations.
Expected:  the untrained network far below the rest; Greedy InfoMax near CPC.
           Phones need frame labels: `librispeech_mini` has speakers alone. The
           paper's figures are of 100 hours of LibriSpeech.
Cost:      a run of `DATASET_gim` a system and seed: about 15 minutes on the
           embedded speech, 20 on LibriSpeech mini, on two cores.
Command:   gim study audio --seeds 0,1,2 --output-dir outputs/flite
           gim study audio --dataset librispeech_mini \
               --data librispeech-mini.tar --seeds 0,1,2 \
               --output-dir outputs/librispeech_mini
"""

from gim_tf.studies.schema import Quoted, Study, System

SYSTEMS = (
    System(
        name="gim",
        title="Greedy InfoMax",
        paper={
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
            "phone": Quoted(value=77.7, source="memory"),
            "speaker": Quoted(value=98.9, source="figure"),
        },
    ),
    System(
        name="greedy_supervised",
        title="greedy supervised",
        experiment="{dataset}_greedy_supervised",
        paper={
            "phone": Quoted(value=73.4, source="memory"),
            "speaker": Quoted(value=98.7, source="figure"),
        },
    ),
    System(
        name="deep_infomax",
        title="local Deep InfoMax, same encoder",
        experiment="{dataset}_deep_infomax",
    ),
    System(
        name="predsim",
        title="PredSim, same encoder",
        experiment="{dataset}_predsim",
    ),
)

STUDY = Study(
    name="audio",
    summary="probe accuracy of all systems on recordings",
    paper="table of LibriSpeech accuracies",
    cost="a seed: 6 runs, about as DATASET_gim",
    datasets=("flite", "librispeech_mini"),
    systems=SYSTEMS,
    tables=("systems",),
    figures=("systems",),
    controls={
        "untrained": {
            "phone": Quoted(value=27.6, source="memory"),
            "speaker": Quoted(value=1.9, source="memory"),
        },
        "mfcc": {
            "phone": Quoted(value=39.7, source="memory"),
            "speaker": Quoted(value=17.6, source="memory"),
        },
    },
    quoted_from="LibriSpeech train-clean-100",
)
