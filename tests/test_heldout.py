"""Held-out local losses, and modules that stop early on them."""

import shutil

import numpy as np
import pytest
import tensorflow as tf

from gim_tf import build, config, jobs
from gim_tf.data import heldout, records
from gim_tf.data.input_pipeline import (
    held_out_batches,
    seen_batches,
    training_batches,
)
from gim_tf.data.records import record_files
from gim_tf.errors import CheckpointError, ConfigError
from gim_tf.training import heldout as training_heldout
from gim_tf.training.checkpoints import RunCheckpoints
from gim_tf.training.heldout import HeldOut
from gim_tf.training.run_directory import RunDirectory
from gim_tf.training.schedules import Phase, phase_ends, phases, with_stops
from gim_tf.training.stopping import EarlyStopping, Watch, watched

HELDOUT = ("training.heldout_every=2", "training.heldout_examples=17")
# No loss is ever lower by a thousand nats: modules stop one evaluation after
# their first.
IMPATIENT = ("training.patience=1", "training.min_delta=1000.0")


def resolved(tiny, *more):
    return config.resolve(
        tiny,
        [
            "stack.encoder.planes=[4, 6]",
            "stack.encoder.depths=[1, 1]",
            "stack.module_sizes=[2, 1]",
            *HELDOUT,
            *more,
        ],
    )


def pretrain(experiment, directory, run, **kwargs):
    return jobs.pretrain(
        experiment,
        record_files(directory, "train"),
        run,
        tensorboard_dir=run / "tensorboard",
        **kwargs,
    )


def every_variable(directory):
    """All that the newest checkpoint holds, random states included."""
    prefix = tf.train.latest_checkpoint(str(directory)) or newest(directory)
    reader = tf.train.load_checkpoint(prefix)
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if name != "_CHECKPOINTABLE_OBJECT_GRAPH"
    }


def newest(directory):
    steps = [int(p.stem.split("-")[1]) for p in directory.glob("ckpt-*.index")]
    return str(directory / f"ckpt-{max(steps)}")


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name, value in a.items():
        np.testing.assert_array_equal(value, b[name], err_msg=name)


def ids_of(files, keep):
    dataset = tf.data.TFRecordDataset(files, compression_type="GZIP")
    return [
        records.parse([one])["id"][0].numpy()
        for one in dataset
        if keep(int(heldout.id_hash(one)))
    ]


def test_what_is_held_out_is_never_trained_on(tiny, tiny_records):
    files = record_files(tiny_records, "train")
    bound = heldout.hash_bound(files, 17)
    left_out = ids_of(files, lambda code: code < bound)
    assert len(left_out) == 17
    experiment = resolved(tiny)
    data = build.build_training_data(experiment, files, 40)
    assert (data.num_examples, data.left_out) == (23, bound)
    # Views that give an example away: its label is its number modulo ten, and
    # its decoded pixels are all its own.
    whole = data._replace(
        view=lambda picture, seed: tf.reshape(picture, (28, 28, 1)),
        to_grid=lambda batch: batch,
    )
    held_out = {
        x.numpy().tobytes() for b in held_out_batches(whole) for x in b.x
    }
    seen = {x.numpy().tobytes() for b in seen_batches(whole, 2) for x in b.x}
    batches = training_batches(whole, 0)
    trained_on = {
        x.numpy().tobytes() for _ in range(30) for x in next(batches).x
    }
    assert len(held_out) == 16  # whole batches of 8
    assert len(trained_on) == 23  # all others, in fifteen epochs
    assert not held_out & trained_on
    assert len(seen) == 16
    assert seen < trained_on


def test_the_choice_depends_on_nothing_but_the_ids(tiny_records, tmp_path):
    from gim_tf.data.shards import ShardWriter

    files = record_files(tiny_records, "train")
    lines = list(tf.data.TFRecordDataset(files, compression_type="GZIP"))
    with ShardWriter(tmp_path / "turned") as writer:
        for line in reversed(lines):
            writer.write(line.numpy())
    turned = sorted(map(str, (tmp_path / "turned").iterdir()))
    bound = heldout.hash_bound(files, 9)
    assert heldout.hash_bound(turned, 9) == bound
    chosen = ids_of(turned, lambda code: code < bound)
    assert set(chosen) == set(ids_of(files, lambda code: code < bound))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("training.heldout_examples=7",), "must make a batch"),
        (("training.heldout_every=0", "training.patience=2"), "set training"),
    ],
)
def test_settings_that_contradict_are_refused(tiny, settings, message):
    with pytest.raises(ConfigError, match=message):
        resolved(tiny, *settings)


def test_a_split_too_small_to_hold_out_of_is_refused(tiny, tiny_records):
    experiment = resolved(tiny, "training.heldout_examples=33")
    with pytest.raises(ConfigError, match="33 of them held out"):
        build.build_training_data(
            experiment, record_files(tiny_records, "train"), 40
        )


def test_patience_counts_evaluations_without_a_better_loss():
    watch = Watch()
    seen = []
    for step, loss in enumerate([2.0, 1.5, 1.495, 1.6, 1.4, np.nan, 1.4, 9.0]):
        watch = watched(watch, loss, step, patience=3, min_delta=0.01)
        seen.append((watch.best, watch.best_step, watch.waited))
        assert watch.stopped_at == (7 if step == 7 else 0)
    assert seen == [
        (2.0, 0, 0),
        (1.5, 1, 0),
        (1.5, 1, 1),  # lower, but by less than min_delta
        (1.5, 1, 2),
        (1.4, 4, 0),
        (1.4, 4, 1),  # no number is no better
        (1.4, 4, 2),
        (1.4, 4, 3),
    ]


def test_what_is_left_of_a_schedule_when_modules_stop():
    together = phases("simultaneous", 3, 10)
    assert with_stops(together, (0, 0, 0)) == together
    assert with_stops(together, (4, 0, 7)) == [
        Phase(4, (True, True, True)),
        Phase(3, (False, True, True)),
        Phase(3, (False, True, False)),
    ]
    assert with_stops(together, (4, 6, 4)) == [
        Phase(4, (True, True, True)),
        Phase(2, (False, True, False)),
    ]
    in_turn = phases("sequential", 3, 10)
    first, second, third = (phase.trained for phase in in_turn)
    stopped = with_stops(in_turn, (4, 14, 20))
    assert stopped == [Phase(4, first), Phase(10, second), Phase(6, third)]
    assert phase_ends(stopped) == [4, 14, 20]
    assert phases("last", 3, 10) == [Phase(10, (False, False, True))]


@pytest.mark.integration
def test_training_is_the_same_whether_or_not_it_is_watched(
    tiny, tiny_records, tmp_path
):
    """Bit by bit, and the values do not depend on when they are measured."""
    runs = {}
    for name, every in (("rarely", 100), ("often", 1), ("by_two", 2)):
        experiment = resolved(tiny, f"training.heldout_every={every}")
        pretrain(experiment, tiny_records, tmp_path / name)
        runs[name] = every_variable(tmp_path / name)
    assert_same(runs["rarely"], runs["often"])
    assert_same(runs["by_two"], runs["often"])
    lines = {
        name: {
            line["step"]: line
            for line in RunDirectory(tmp_path / name).history()
        }
        for name in runs
    }
    for step in (2, 4, 6):
        for module in ("module_1", "module_2"):
            found = lines["often"][step][module]
            assert 0.0 <= found["heldout_accuracy"] <= 1.0
            assert found["heldout_loss"] == pytest.approx(np.log(17), abs=1.0)
            for key in training_heldout.KEYS:
                assert lines["by_two"][step][module][key] == found[key]
    # Where it is rare, the end is still measured.
    assert "heldout_loss" not in lines["rarely"][4]["module_1"]
    last = lines["rarely"][6]["module_2"]
    assert last["heldout_loss"] == lines["often"][6]["module_2"]["heldout_loss"]


@pytest.mark.integration
def test_equal_weights_have_equal_held_out_losses_of_the_stated_batches(
    tiny, tiny_records
):
    experiment = resolved(tiny)
    files = record_files(tiny_records, "train")
    stack = build.build_stack(experiment)
    data = build.build_training_data(experiment, files, 40)
    measure = build.build_heldout(experiment, stack, data)
    states = [v.numpy() for v in stack.variables]
    found = measure((True, True))
    assert found == measure((True, True))
    for before, variable in zip(states, stack.variables, strict=True):
        np.testing.assert_array_equal(before, variable.numpy())
    # As one that has the two sets the other way round finds it.
    around = HeldOut(
        stack,
        seen_batches(data, 2),
        held_out_batches(data),
        every=2,
        seed=experiment.training.seed,
    )((True, True))
    for name, values in found.items():
        assert values["seen_loss"] == around[name]["heldout_loss"]
        assert values["heldout_loss"] == around[name]["seen_loss"]
        assert values["seen_loss"] != values["heldout_loss"]
    assert list(measure((False, True))) == ["module_2"]
    assert measure((False, True))["module_2"] == found["module_2"]
    for variable in stack.variables:  # generators that have gone further
        if variable.name == "seed_generator_state":
            variable.assign(variable.value + 7)
    assert measure((True, True)) == found
    assert len(states) > len(stack.trainable_variables)
    # A module that knows nothing guesses: its scores are all equal.
    for module in stack.gim_modules:
        for variable in module.objective.trainable_variables:
            variable.assign(tf.zeros_like(variable.value))
    for values in measure((True, True)).values():
        assert values["heldout_loss"] == pytest.approx(np.log(17), rel=1e-6)
        assert values["heldout_accuracy"] == pytest.approx(1 / 17, rel=1e-6)


@pytest.mark.integration
@pytest.mark.parametrize("schedule", ["simultaneous", "sequential"])
def test_modules_that_stop_keep_their_best_weights(
    tiny, tiny_records, tmp_path, schedule
):
    experiment = resolved(tiny, *IMPATIENT, f"training.schedule={schedule}")
    section = pretrain(experiment, tiny_records, tmp_path)
    # The first evaluation is the best, the second ends it.
    stops = (4, 4) if schedule == "simultaneous" else (4, 8)
    assert section["steps"] == stops[-1]
    for (name, stopped), step in zip(
        section["stopped"].items(), stops, strict=True
    ):
        assert (stopped["step"], stopped["kept_step"]) == (step, step - 2)
        assert "1000 in 1 evaluations" in stopped["reason"]
        best = {
            line["step"]: line[name]
            for line in RunDirectory(tmp_path).history()
        }[step - 2]
        assert section["modules"][name]["heldout_loss"] == best["heldout_loss"]
    # The weights are those of that evaluation: measured again, it is equal.
    stack, step = jobs.exporting.restored(experiment, tmp_path)
    assert step == stops[-1]
    data = build.build_training_data(
        experiment, record_files(tiny_records, "train"), 40
    )
    found = build.build_heldout(experiment, stack, data)((True, True))
    for name in section["stopped"]:
        kept = section["modules"][name]
        assert found[name]["heldout_loss"] == kept["heldout_loss"]


@pytest.mark.integration
def test_a_frozen_module_stays_and_traces_are_bounded(
    tiny, tiny_records, tmp_path
):
    """One module stops; the other goes on, on frozen weights."""
    from gim_tf.training.loop import LoopSettings, train

    experiment = resolved(tiny, *IMPATIENT)
    data = build.build_training_data(
        experiment, record_files(tiny_records, "train"), 40
    )
    stack = build.build_stack(experiment)
    trainer = build.build_trainer(experiment, stack)

    class OnlyTheFirst(EarlyStopping):
        """Module 2 improves at each evaluation."""

        def update(self, losses, step):
            better = {**losses, "module_2": -2000.0 * step}
            return super().update({k: better[k] for k in losses}, step)

    stopping = OnlyTheFirst(stack, patience=1, min_delta=1000.0)
    seen = []

    def look(line):
        seen.append([v.numpy() for v in stack.gim_modules[0].variables])

    train(
        trainer,
        data,
        LoopSettings(build.build_phases(experiment), 2, 100),
        checkpoints=RunCheckpoints(tmp_path, trainer, stopping=stopping),
        start_step=0,
        on_log=look,
        heldout=build.build_heldout(experiment, stack, data),
        stopping=stopping,
    )
    assert stopping.stopped_at() == (4, 0)
    at_2, at_4, at_6 = seen
    trainable = len(stack.gim_modules[0].trainable_variables)
    changed = 0
    for a, b, c in zip(at_2, at_4, at_6, strict=True):
        np.testing.assert_array_equal(b, c)  # random states, too
        changed += not np.array_equal(a, b)
    assert changed == len(at_2) - trainable  # of weights, those of step 2
    assert trainer.compiled_step.experimental_get_tracing_count() == 2


@pytest.mark.integration
@pytest.mark.parametrize(
    ("schedule", "keep"),
    [("simultaneous", 2), ("sequential", 4), ("sequential", 6)],
)
def test_a_killed_run_stops_where_the_whole_one_does(
    tiny, tiny_records, tmp_path, schedule, keep
):
    experiment = resolved(tiny, *IMPATIENT, f"training.schedule={schedule}")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    expected = pretrain(experiment, tiny_records, whole)
    shutil.copytree(whole, parts)
    for path in parts.glob("ckpt-*"):
        if int(path.name.split("-")[1].split(".")[0]) > keep:
            path.unlink()
    (parts / "pretrain.json").unlink()
    found = pretrain(experiment, tiny_records, parts)
    assert found["stopped"] == expected["stopped"]
    assert_same(every_variable(whole), every_variable(parts))


@pytest.mark.integration
def test_settings_of_held_out_examples_count_only_where_there_are_some(
    tiny, tiny_records, tmp_path
):
    off = resolved(tiny, "training.heldout_every=0", "training.num_steps=2")
    pretrain(off, tiny_records, tmp_path)
    settings = RunDirectory(tmp_path).config()["training"]
    assert not {"heldout_every", "patience"} & settings.keys()
    on = resolved(tiny, "training.num_steps=2")
    with pytest.raises(CheckpointError, match=r"training\.heldout_every"):
        pretrain(on, tiny_records, tmp_path)
