"""Figure of the error of a linear classifier on each module.

Paper:     the figure of speaker errors by module, all systems in one plot.
Expected:  error falls with depth for Greedy InfoMax and for CPC alike; greedy
           supervised is ahead in the first modules and stays there. In the
           paper, modules 1 to 6, speakers (read off its figure, +-3 %):
           GIM .742 .0997 .0203 .0130 .0093 .0064, CPC .656 .112 .0314 .0151
           .0064 .0044, supervised .792 .552 .159 .072 .048 .0115, greedy
           supervised .533 .0392 .0239 .0171 .0177 .0134.
Cost:      none beyond the runs of `accuracy`, which it shares if it has its
           output directory.
Command:   gim study per_module --data cifar10-train.tfrecord.gz \
               --seeds 0,1,2 --output-dir outputs/cifar10
           gim study per_module --dataset flite --seeds 0,1,2 \
               --output-dir outputs/flite

CPC and the supervised network are one module each, trained end to end. Their
blocks are probed at the depths at which Greedy InfoMax is cut.
"""

from gim_tf.studies.catalogue.accuracy import SYSTEMS
from gim_tf.studies.schema import Study

_SHOWN = (
    "gim",
    "cpc",
    "supervised",
    "supervised_phones",
    "greedy_supervised",
    "greedy_supervised_phones",
)

STUDY = Study(
    name="per_module",
    summary="error of a linear classifier on each module, all systems",
    paper="figure of errors by module",
    cost="a seed: 4 to 6 runs, about as DATASET_gim, shared with the tables",
    datasets=("cifar10", "fashion_mnist", "flite", "librispeech_mini"),
    systems=tuple(system for system in SYSTEMS if system.name in _SHOWN),
    tables=("by_depth",),
    figures=("by_depth",),
)
