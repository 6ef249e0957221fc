"""Ablations: one setting changed at a time.

Paper:     "no BPTT" and "no autoregressor" on LibriSpeech; the sweeps of K,
           negatives and skip are ours.
Expected:  without the autoregressor phones suffer, speakers hardly. K, N and
           the skip: no difference on pictures after 200 steps
           (docs/results.md).
Cost:      a run of `DATASET_gim` a system and seed.
Command:   gim study ablations --dataset fashion_mnist --seeds 0,1,2 \
               --output-dir outputs/fashion_mnist
           gim study ablations --dataset flite --seeds 0,1,2 \
               --output-dir outputs/flite
           tensorboard --logdir outputs/flite/runs

Every run is a trial of TensorBoard's HParams.
"""

from gim_tf.studies.schema import Quoted, Study, System

_PICTURES = ("cifar10", "fashion_mnist", "stl10")
_SEQUENCES = ("flite", "librispeech_mini", "librispeech")
_K = "stack.objective.prediction_steps"
_SKIP = "stack.objective.skip_steps"


def _negatives(count: int) -> System:
    return System(
        name=f"gim_n_{count}",
        title=f"N = {count}",
        overrides=(f"stack.objective.num_negatives={count}",),
        group="negatives N",
    )


def _steps(
    count: int, datasets: tuple[str, ...], skip: int | None = None
) -> System:
    if skip is None:
        return System(
            name=f"gim_k_{count}",
            title=f"K = {count}",
            overrides=(f"{_K}={count}",),
            datasets=datasets,
            group="prediction steps K",
        )
    return System(
        name=f"gim_k_{count}_skip_{skip}",
        title=f"skip {skip}, K = {count}",
        overrides=(f"{_K}={count}", f"{_SKIP}={skip}"),
        datasets=datasets,
        group="skipped steps",
    )


STUDY = Study(
    name="ablations",
    summary="Greedy InfoMax with one setting changed at a time",
    paper="ablations of the LibriSpeech table; sweeps of K, N and skip",
    cost="a seed: 10 runs on pictures, 13 on recordings, as DATASET_gim",
    datasets=("fashion_mnist", "cifar10", "flite", "librispeech_mini"),
    systems=(
        System(
            name="gim",
            title="Greedy InfoMax",
            paper={
                "phone": Quoted(value=62.5, source="memory"),
                "speaker": Quoted(value=99.4, source="secondary"),
            },
        ),
        *(_steps(k, _PICTURES) for k in (1, 2, 3, 5)),
        *(_steps(k, _SEQUENCES) for k in (1, 2, 8, 12)),
        *(_negatives(n) for n in (1, 4, 32)),
        *(_steps(4, _PICTURES, skip) for skip in (0, 2)),
        *(_steps(4, _SEQUENCES, skip) for skip in (0, 4, 16)),
        System(
            name="gim_no_autoregressor",
            title="no autoregressor",
            overrides=(
                "stack.autoregressor=none",
                "stack.module_sizes=[1, 1, 1, 1, 1]",
            ),
            datasets=_SEQUENCES,
            group="autoregressor",
            paper={
                "phone": Quoted(value=50.8, source="memory"),
                "speaker": Quoted(value=99.1, source="memory"),
            },
        ),
        System(
            name="gim_no_bptt",
            title="no BPTT",
            overrides=("stack.autoregressor.backpropagate_through_time=false",),
            datasets=_SEQUENCES,
            group="autoregressor",
            paper={
                "phone": Quoted(value=55.5, source="memory"),
                "speaker": Quoted(value=99.2, source="memory"),
            },
        ),
    ),
    tables=("systems",),
    figures=("systems",),
)
