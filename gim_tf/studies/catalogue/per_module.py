"""Figure of the error of a linear classifier on each module.

Paper:     the figure of speaker errors by module, all systems in one plot.
Expected:  error falls with depth for Greedy InfoMax and for CPC alike; greedy
           supervised is ahead in the first modules and stays there.
Cost:      none beyond the runs of `accuracy`, which it shares if it has its
           output directory.
Command:   gim study per_module --dataset cifar10 --seeds 0,1,2 \
               --data cifar10-train.tfrecord.gz --output-dir outputs/cifar10
           gim study per_module --dataset flite --seeds 0,1,2 \
               --output-dir outputs/flite

CPC, Deep InfoMax and the supervised network are one module each, trained end
to end. Their blocks are probed at the depths at which Greedy InfoMax is cut.
"""

from gim_tf.studies.catalogue.accuracy import SYSTEMS
from gim_tf.studies.schema import Study

# Of speakers, LibriSpeech train-clean-100; read off its figure, +-3 %.
_PAPER = {
    "gim": (74.2, 9.97, 2.03, 1.30, 0.93, 0.64),
    "cpc": (65.6, 11.2, 3.14, 1.51, 0.64, 0.44),
    "supervised": (79.2, 55.2, 15.9, 7.2, 4.8, 1.15),
    "greedy_supervised": (53.3, 3.92, 2.39, 1.71, 1.77, 1.34),
}

_SHOWN = (
    "gim",
    "cpc",
    "supervised",
    "supervised_phones",
    "greedy_supervised",
    "greedy_supervised_phones",
    "deep_infomax",
    "predsim",
)

STUDY = Study(
    name="per_module",
    summary="error of a linear classifier on each module, all systems",
    paper="figure of errors by module",
    cost="a seed: 6 to 8 runs, about as DATASET_gim, shared with the tables",
    datasets=("fashion_mnist", "cifar10", "flite", "librispeech_mini"),
    systems=tuple(system for system in SYSTEMS if system.name in _SHOWN),
    tables=("by_depth", "paper_by_depth"),
    figures=("by_depth",),
    speaker_errors=_PAPER,
)
