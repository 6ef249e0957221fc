"""Memory of a training step, by how its gradients are taken.

Paper:     table of GPU memory, in GB, from memory and unverified: supervised
           6.3, CPC 7.7, GIM all modules 7.0, GIM first module only 2.5.
Expected:  the summed loss holds all modules at once and saves little; freed
           tapes hold one, and so does training one module alone.
Cost:      minutes for the small network; a quarter of an hour for the paper's.
Command:   gim study memory --dataset cifar10 --output-dir outputs/cifar10
           gim study memory --dataset flite --output-dir outputs/flite

Each row is a process of its own, see `gim bench memory`. Seeds do not matter.
"""

from gim_tf.studies.schema import Measurement, Study

_PICTURES = ("cifar10", "fashion_mnist", "stl10")
_SEQUENCES = ("flite", "librispeech_mini", "librispeech")

STUDY = Study(
    name="memory",
    summary="memory of a step: supervised, CPC, summed, freed, one module",
    paper="table of GPU memory",
    cost="two benches, that of the paper's network the longer one",
    datasets=("fashion_mnist", "cifar10", "flite", "librispeech_mini"),
    measurements=(
        Measurement(
            name="memory", title="this data set's network", bench=("memory",)
        ),
        Measurement(
            name="memory_stl10",
            title="the paper's network, ResNet-50 in three modules",
            bench=("memory",),
            experiment="stl10_gim",
            overrides=("training.batch_size=16",),
            datasets=_PICTURES,
            own=False,
        ),
        Measurement(
            name="memory_librispeech",
            title="the paper's network, five convolutions and a GRU",
            bench=("memory",),
            experiment="librispeech_gim",
            overrides=("training.batch_size=8",),
            datasets=_SEQUENCES,
            own=False,
        ),
    ),
    tables=("memory",),
    figures=("memory",),
)
