"""Modules trained one after the other, against all of them at once.

Paper:     section 4.1.2 and its figure: trained strictly one after the other
           ("iteratively") modules overfit, and the result is a little worse.
Expected:  sequential training ends at similar probe accuracies; the gap
           between held-out and training loss shows whether it overfits.
Cost:      twice a run of `DATASET_gim` a seed; a sequential run trains each
           module as many steps as the other does, and every lower module is
           only encoded with. The held-out examples are not trained on.
Command:   gim study iterative --dataset fashion_mnist --seeds 0,1,2 \
               --output-dir outputs/fashion_mnist
           gim study iterative --dataset flite --seeds 0,1,2 \
               --set training.heldout_examples=8 --output-dir outputs/flite
"""

from gim_tf.studies.schema import Measurement, Study, System

_SEQUENTIAL = "training.schedule=sequential"
_HELD_OUT = "training.heldout_every=100"  # so these runs are no others'

STUDY = Study(
    name="iterative",
    summary="modules trained one after the other, against all at once",
    paper="section 4.1.2, iterative training",
    cost="a seed: 2 runs, the second of more steps; and two short benches",
    datasets=("fashion_mnist", "cifar10", "flite", "librispeech_mini"),
    systems=(
        System(
            name="gim_held_out",
            title="simultaneous",
            overrides=(_HELD_OUT,),
        ),
        System(
            name="gim_sequential",
            title="sequential",
            overrides=(_SEQUENTIAL, _HELD_OUT),
        ),
    ),
    measurements=(
        Measurement(name="step_gim", title="simultaneous", bench=("step",)),
        Measurement(
            name="step_gim_sequential",
            title="sequential",
            bench=("step",),
            overrides=(_SEQUENTIAL,),
        ),
    ),
    tables=("schedules", "losses"),
    figures=("losses",),
)
