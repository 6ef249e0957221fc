"""Workers that run freely, a module each, against all modules at once.

Paper:     its claim that modules may train asynchronously; it has no table.
Expected:  no loss beyond the spread: a module above sees an encoder of some
           steps ago, or of some steps ahead.
Cost:      two runs of `DATASET_gim` a seed, one of them with a process a
           module. Run them one at a time (`--jobs 1`), on the machine that
           matters: which worker gets the processor decides who waits.
Command:   gim study asynchronous --dataset fashion_mnist --seeds 0,1,2 \
               --jobs 1 --output-dir outputs/fashion_mnist

Workers that are fed in order need no study: their weights are those of the
simple loop, bit for bit (docs/decoupled.md).
"""

from gim_tf.studies.schema import Study, System

STUDY = Study(
    name="asynchronous",
    summary="workers that run freely, a module each, against all at once",
    paper="asynchronous training, which it proposes",
    cost="a seed: 2 runs, one of them with a process a module",
    datasets=("fashion_mnist", "cifar10", "flite", "librispeech_mini"),
    systems=(
        System(name="gim", title="simultaneous"),
        System(
            name="gim_free_running",
            title="free-running workers",
            overrides=(
                "training.schedule=decoupled",
                "training.decoupled_mode=free_running",
            ),
        ),
    ),
    tables=("systems", "by_depth"),
    figures=("by_depth",),
    gigabytes=8.0,  # a process a module
)
