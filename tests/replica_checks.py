"""Two logical processors train together: a process of its own, and JSON.

Logical devices must be there before TensorFlow does anything: see
`tests/test_replicas.py`, which runs this file and reads what it prints.
"""

import itertools
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from conftest import TINY, write_noise_records
from saved_runs import differing

from gim_tf import build, config, experiments, jobs
from gim_tf.data.records import record_files
from gim_tf.errors import CheckpointError, ConfigError
from gim_tf.losses.negatives import UniformNegatives
from gim_tf.stack import part
from gim_tf.training.checkpoints import RunCheckpoints
from gim_tf.training.replicas import Replicas, make_replicas

DEVICES = 2
BATCH = 8
TWO_MODULES = (
    "stack.encoder.planes=[4, 6]",
    "stack.encoder.depths=[1, 1]",
    "stack.module_sizes=[2, 1]",
)


class NegativesOfAPart(UniformNegatives):
    """The targets of the other examples of the anchor's half of the batch.

    A function of the places alone: the same on one device and on two.
    """

    def _negatives(self, span, offsets):
        return [self._of_step(span, offset) for offset in offsets]

    def _of_step(self, span, offset):
        size = BATCH // DEVICES
        example, time, lane, other = tf.meshgrid(
            *map(tf.range, [*span.anchors(offset), self.num_negatives]),
            indexing="ij",
        )
        among = example % size
        chosen = example - among + (among + 1 + other) % size
        chosen %= span.batch  # of 1, where the layers are built
        row = (time + offset + other) % (span.time - offset) + offset
        return (chosen * span.time + row) * span.lanes + lane


def experiment(name, *more):
    settings = [
        setting
        for setting in (*TINY, *TWO_MODULES, *more)
        if name.endswith("_gim") or "objective" not in setting
    ]
    return config.resolve(experiments.get(name), settings)


def trainer(made, replicas, sampler=None):
    with replicas.scope():
        stack = build.build_training_stack(made, sampler)
        return build.build_trainer(made, stack, replicas.strategy)


def batches(count):
    generator = np.random.default_rng(0)
    for _ in range(count):
        x = generator.normal(size=(BATCH, 7, 7, 8, 8, 1)).astype(np.float32)
        yield tf.constant(x), tf.constant(generator.integers(0, 10, BATCH))


def trained(made, replicas, data, sampler=None):
    """Metrics of each step, the trainer, and its weights before."""
    found = trainer(made, replicas, sampler)
    before = [v.numpy() for v in found.stack.trainable_variables]
    flags = (True,) * len(found.stack.gim_modules)
    steps = [found.compiled_step(*batch, flags) for batch in data]
    return steps, found, before


def difference(name, replicas, *more, sampler=None):
    """Largest of weights and of metrics between one device and two."""
    made = experiment(name, *more)
    one, two = (
        trained(made, how, batches(4), sampler)
        for how in (Replicas(), replicas)
    )
    values = [
        [
            *(v.numpy() for v in found.stack.trainable_variables),
            *tf.nest.map_structure(np.asarray, tf.nest.flatten(steps)),
        ]
        for steps, found, _ in (one, two)
    ]
    return {
        "difference": largest(*values),
        "moved": largest(one[2], values[0][: len(one[2])]),
        "copies_equal": copies_equal(two[1]),
    }


def largest(ones, others):
    """Difference between arrays of the same place."""
    return max(
        float(np.abs(a - b).max()) for a, b in zip(ones, others, strict=True)
    )


def trained_apart(made, replicas, data):
    """Variables of both modules, the second trained after the first is done.

    As decoupled workers do it: on what the first gave for each batch.
    """
    with replicas.scope():
        stack = build.build_training_stack(made)
        modules = [
            build.build_trainer(made, part(stack, n, n), replicas.strategy)
            for n in (1, 2)
        ]
    for module in modules:
        found = [module.compiled_advance(*batch, (True,)) for batch in data]
        data = [
            (z, labels) for (_, z), (_, labels) in zip(found, data, strict=True)
        ]
    weights, optimizers = zip(*map(split_variables, modules), strict=True)
    return [*itertools.chain(*weights), *itertools.chain(*optimizers)]


def split_variables(trainer):
    optimizers = [v for o in trainer.optimizers for v in o.variables]
    return trainer.stack.variables, optimizers


def variables_of(trainer):
    """Weights and states of generators, then what optimizers keep."""
    return list(itertools.chain(*split_variables(trainer)))


def copies_equal(found):
    """Whether all replicas hold the same weights, moments and states."""
    return all(
        np.array_equal(copy.numpy(), variable.value.values[0].numpy())
        for variable in variables_of(found)
        for copy in variable.value.values
    )


def info_nce(replicas, directory):
    """Negatives of each replica, losses on one batch, and a restored run."""
    made = experiment("fashion_mnist_gim", "training.learning_rate=0.01")
    (batch,) = batches(1)
    steps, found, _ = trained(made, replicas, [batch] * 25)
    apart = trained_apart(made, replicas, [batch] * 25)
    in_parts = all(
        a.numpy().tobytes() == b.numpy().tobytes()
        for a, b in zip(variables_of(found), apart, strict=True)
    )
    losses = [float(step["module_1"]["loss"]) for step in steps]
    RunCheckpoints(directory, found).save(25)
    again = trainer(made, replicas)
    RunCheckpoints(directory, again).restore_latest()
    alone = trainer(made, Replicas())
    RunCheckpoints(directory, alone).restore_latest()
    drawn = [draws(some, replicas) for some in (found, again)]
    return {
        "first": losses[0],
        "last": losses[-1],
        "copies_equal": copies_equal(found),
        "in_parts": in_parts,
        "draws_differ": not np.array_equal(*drawn[0]),
        "draws_restored": np.array_equal(drawn[0], drawn[1]),
        "restored_on_one_device": all(
            np.array_equal(a.numpy(), b.numpy())
            for a, b in zip(
                found.stack.trainable_variables,
                alone.stack.trainable_variables,
                strict=True,
            )
        ),
    }


def draws(found, replicas):
    """The next negatives of each replica."""
    sampler = found.stack.gim_modules[0].objective.sampler
    run = tf.function(
        lambda: replicas.strategy.run(
            lambda: sampler.draw(tf.constant([4, 7, 7]), None, [1]).negatives[0]
        ),
        autograph=False,
    )
    results = replicas.strategy.experimental_local_results(run())
    return [value.numpy() for value in results]


def job(directory):
    """`jobs.pretrain` in one part, and in two; what it refuses."""
    records = write_noise_records(directory / "records")
    settings = ("training.strategy=mirrored", "training.num_steps=4")
    made = experiment("fashion_mnist_gim", *settings)

    def pretrain(made, name):
        return jobs.pretrain(
            made,
            record_files(records, "train"),
            directory / name,
            tensorboard_dir=directory / name / "tensorboard",
        )

    pretrain(made, "whole")
    shutil.copytree(directory / "whole", directory / "parts")
    for path in (directory / "parts").glob("ckpt-4*"):
        path.unlink()
    pretrain(made, "parts")
    return {
        "resumed_equal": not differing(
            directory / "parts", directory / "whole"
        ),
        "refused": [
            refusal(pretrain, other, name)
            for other, name in (
                (experiment("fashion_mnist_gim", settings[1]), "whole"),
                (
                    experiment(
                        "fashion_mnist_gim",
                        settings[0],
                        "training.batch_size=9",
                    ),
                    "new",
                ),
            )
        ],
    }


def guesses(replicas):
    """Examples among which a guess is made, of objectives that compare."""
    kinds = ("deep_infomax", "predsim")
    found = {}
    for kind in kinds:
        with replicas.scope():
            stack = build.build_stack(experiment(f"fashion_mnist_{kind}"))
        found[kind] = {m.objective.batch_size for m in stack.gim_modules}.pop()
    return found


def refusal(function, *arguments):
    try:
        function(*arguments)
    except (CheckpointError, ConfigError) as error:
        return str(error)
    return ""


def main():
    directory = Path(sys.argv[1])
    processor = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        processor, [tf.config.LogicalDeviceConfiguration()] * DEVICES
    )
    replicas = make_replicas("mirrored")
    found = {
        "replicas": replicas.count,
        "supervised": difference("fashion_mnist_greedy_supervised", replicas),
        "info_nce": difference(
            "fashion_mnist_gim",
            replicas,
            "training.recompute_groups=2",
            "stack.objective.num_negatives=3",
            sampler=NegativesOfAPart,
        ),
        "guesses": guesses(replicas),
        "trained": info_nce(replicas, directory / "run"),
        "job": job(directory),
    }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
