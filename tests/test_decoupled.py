"""Decoupled workers end with the weights of the simple loop."""

import collections

import numpy as np
import pytest
import tensorflow as tf

from gim_tf import build, config, experiments, jobs
from gim_tf.data.corpus import read_corpus
from gim_tf.data.input_pipeline import training_batches
from gim_tf.data.records import count_records, record_files
from gim_tf.errors import CheckpointError, ConfigError, TrainingError
from gim_tf.jobs import Workers, decoupling
from gim_tf.jobs.decoupled_plan import Plan
from gim_tf.jobs.supervising import free_addresses
from gim_tf.stack import part
from gim_tf.training.checkpoints import RunCheckpoints
from gim_tf.training.decoupled import links, remote
from gim_tf.training.decoupled.balance import module_seconds
from gim_tf.training.interrupts import Interrupts
from gim_tf.training.loop import Flow, LoopSettings, train_on
from gim_tf.training.run_directory import RunDirectory
from gim_tf.training.schedules import Phase
from gim_tf.training.trainer import GIMTrainer
from tests.conftest import TINY, write_noise_records
from tests.saved_runs import differing
from tests.test_speech_run import SMALL, corpus

pytestmark = pytest.mark.integration

# What takes the time is building and tracing. Steps beyond the first are
# cheap, but on a busy machine not for nothing: the slow tests take more.
STEPS = (
    "training.num_steps=12",
    "training.checkpoint_every=5",
    "training.log_every=4",
)
MANY_STEPS = (
    "training.num_steps=50",
    "training.checkpoint_every=20",
    "training.log_every=10",
)


def pretrain(experiment, records, directory, **options):
    return jobs.pretrain(
        experiment,
        record_files(records, experiment.data.pretrain_split),
        directory,
        tensorboard_dir=directory / "tensorboard",
        **options,
    )


def trained_values(directory):
    """What training measured of each module, line by line."""
    return [
        (line["step"], name, values["loss"], values["gradient_norm"])
        for line in RunDirectory(directory).history()
        for name, values in sorted(line.items())
        if name.startswith("module_")
    ]


def decoupled(experiment, *more):
    return config.resolve(experiment, ["training.schedule=decoupled", *more])


def pictures(directory, steps):
    experiment = config.resolve(
        experiments.get("fashion_mnist_gim"), [*TINY, *steps]
    )
    write_noise_records(directory / "records")
    pretrain(experiment, directory / "records", directory / "whole")
    return experiment, directory / "records", directory / "whole"


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """(experiment, records, its run by the simple loop)."""
    return pictures(tmp_path_factory.mktemp("short"), STEPS)


@pytest.fixture(scope="module")
def vision(tmp_path_factory):
    """Likewise, for the slow tests."""
    return pictures(tmp_path_factory.mktemp("vision"), MANY_STEPS)


@pytest.fixture(scope="module")
def audio(tmp_path_factory):
    """Likewise; five convolutions and a GRU, a module each."""
    directory = tmp_path_factory.mktemp("audio")
    experiment = config.resolve(
        experiments.get("librispeech_gim"),
        [
            *SMALL,
            *MANY_STEPS,
            f"data.path={corpus(directory / 'voices')}",
            "data.min_samples=4000",
            "data.holdout=0.4",
            "data.frame_names=['ah','ee','oo']",
        ],
    )
    jobs.ingest(experiment, directory / "records")
    experiment = config.completed(
        experiment, read_corpus(directory / "records")
    )
    pretrain(experiment, directory / "records", directory / "whole")
    return experiment, directory / "records", directory / "whole"


@pytest.mark.slow
def test_a_part_alone_trains_as_in_the_whole(vision, tmp_path):
    """On the inputs that it would have; nothing else is needed."""
    experiment, records, whole = vision
    tf.config.experimental.enable_op_determinism()
    files = record_files(records, "train")
    data = build.build_training_data(experiment, files, count_records(files))
    stack = build.build_stack(experiment)
    below, above = (
        build.build_trainer(experiment, part(stack, *modules))
        for modules in ((1, 1), (2, 3))
    )
    handed = []
    for trainer, folder, batches, on_output in (
        (
            below,
            tmp_path / "below",
            training_batches(data, 0),
            lambda step, z, labels: handed.append((z, labels)),
        ),
        (
            above,
            tmp_path / "above",
            iter_batches(handed, data),
            None,
        ),
    ):
        settings = LoopSettings(
            [Phase(50, (True,) * len(trainer.optimizers))], 10, 50
        )
        train_on(
            trainer,
            Flow(batches, data.batch_size, Interrupts(), on_output),
            settings,
            checkpoints=RunCheckpoints(folder, trainer),
            start_step=0,
            on_log=lambda line: None,
        )
    reader = tf.train.load_checkpoint(str(whole / "ckpt-50"))
    names = set(reader.get_variable_to_shape_map())
    for folder, modules in (("below", "1"), ("above", "23")):
        of_part = tf.train.load_checkpoint(str(tmp_path / folder / "ckpt-50"))
        found = [
            name
            for name in of_part.get_variable_to_shape_map()
            if name.startswith(("module", "optimizer"))
        ]
        assert {name.split("/")[0][-1] for name in found} == set(modules)
        for name in found:
            np.testing.assert_array_equal(
                of_part.get_tensor(name), reader.get_tensor(name)
            )
        names -= set(found)
    # Nothing of the whole is left over but its step.
    assert not [n for n in names if n.startswith(("module", "optimizer"))]


def iter_batches(handed, data):
    kind = type(next(training_batches(data, 0)))
    return (kind(z, labels) for z, labels in handed)


@pytest.fixture(scope="module")
def divided(short, tmp_path_factory):
    """(directory, summary) of the same by threads; the modules are measured."""
    experiment, records, _ = short
    directory = tmp_path_factory.mktemp("divided")
    return directory, pretrain(
        decoupled(experiment), records, directory, workers=Workers(count=2)
    )


def test_threads_end_with_the_weights_of_the_simple_loop(short, divided):
    (_, _, whole), (directory, section) = short, divided
    assert not differing(directory, whole)
    assert trained_values(directory) == trained_values(whole)
    assert section["steps"] == 12
    assert len(section["workers"]) == 2
    assert sum(section["workers"]) == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "modality", "sizes"),
    [
        ("threads", "vision", (1, 1, 1)),
        ("threads", "vision", (1, 2)),
        ("threads", "audio", (4, 2)),
        ("threads", "audio", (2, 2, 2)),
        ("processes", "vision", (1, 2)),
        ("processes", "vision", (1, 1, 1)),
        ("processes", "audio", (2, 2, 2)),
        ("processes", "audio", (4, 2)),
    ],
)
def test_the_weights_are_those_of_the_simple_loop(
    request, tmp_path, modality, sizes, kind
):
    experiment, records, whole = request.getfixturevalue(modality)
    section = pretrain(
        decoupled(experiment),
        records,
        tmp_path,
        workers=Workers(kind=kind, sizes=sizes),
    )
    assert not differing(tmp_path, whole)
    assert trained_values(tmp_path) == trained_values(whole)
    assert section["steps"] == 50
    assert section["workers"] == list(sizes)
    if sizes == (1, 2):
        jobs.export(decoupled(experiment), tmp_path, tmp_path / "model")
        assert (tmp_path / "model" / "saved_model.pb").exists()


def test_a_run_that_is_done_says_the_same_again(short, divided):
    (experiment, records, _), (directory, section) = short, divided
    experiment = decoupled(experiment)
    again = pretrain(experiment, records, directory, workers=Workers(count=2))
    assert again["modules"] == section["modules"]
    with pytest.raises(CheckpointError, match="started with 2 workers"):
        pretrain(experiment, records, directory, workers=Workers(count=3))
    with pytest.raises(CheckpointError, match=r"training\.learning_rate"):
        pretrain(
            config.resolve(experiment, ["training.learning_rate=1.0"]),
            records,
            directory,
            workers=Workers(count=2),
        )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_free_running_workers_finish_and_learn(vision, tmp_path, kind):
    """Losses fall; who is ahead trains on batches again."""
    experiment, records, _ = vision
    experiment = decoupled(
        experiment,
        "training.decoupled_mode=free_running",
        "training.learning_rate=0.003",
        "training.num_steps=200",
    )
    section = pretrain(
        experiment,
        records,
        tmp_path,
        workers=Workers(kind=kind, sizes=(1, 1, 1)),
    )
    lines = RunDirectory(tmp_path).history()
    for name in ("module_1", "module_2", "module_3"):
        assert section["modules"][name]["loss"] < lines[0][name]["loss"]
    assert section["steps"] == 200
    # Its order is of chance: the weights are not those of any other run.
    with pytest.raises(CheckpointError, match="decoupled_mode"):
        pretrain(
            config.resolve(experiment, ["training.decoupled_mode=ordered"]),
            records,
            tmp_path,
        )


def test_an_error_of_one_worker_ends_all_and_is_told_once(short, tmp_path):
    experiment, records, _ = short
    experiment = decoupled(experiment, "training.learning_rate=1e30")
    with pytest.raises(TrainingError, match="module_"):
        pretrain(experiment, records, tmp_path, workers=Workers(sizes=(1, 2)))
    assert not (tmp_path / "pretrain.json").exists()


def test_what_cannot_be_divided_is_refused(short, tmp_path):
    experiment, records, _ = short
    experiment = decoupled(experiment)
    for workers, message in (
        (Workers(count=4), "4 workers cannot share 3 modules"),
        (Workers(sizes=(1, 1)), "must sum to 3"),
        (Workers(sizes=(0, 3)), "must sum to 3"),
    ):
        with pytest.raises(ConfigError, match=message):
            pretrain(experiment, records, tmp_path, workers=workers)
    with pytest.raises(ConfigError, match="not one to resume from"):
        pretrain(experiment, records, tmp_path, resume="ckpt-3")


@pytest.mark.slow
def test_module_seconds_are_those_of_each_module(vision):
    experiment, records, _ = vision
    files = record_files(records, "train")
    data = build.build_training_data(experiment, files, count_records(files))
    trainer = build.build_trainer(experiment, build.build_stack(experiment))
    assert isinstance(trainer, GIMTrainer)
    found = module_seconds(trainer, next(training_batches(data, 0)), steps=1)
    assert len(found) == 3
    assert all(0 < one < 60 for one in found)


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_a_mailbox_between_processes_is_bounded_and_forgets_nothing(dtype):
    """Both ends in one process: the session takes the same way."""
    (address,) = free_addresses(1)
    to_it = remote.RemoteOutbox(1, address, 2, dtype)
    assert to_it.want() is None  # nobody is there
    inbox = remote.RemoteInbox(1, address, 2, dtype)
    assert to_it.want() is None  # nobody has said what is wanted
    inbox.announce(links.Want(5, 1))
    assert to_it.want() == links.Want(5, 1)
    assert inbox.take(0.0) is None
    z = tf.cast(np.random.default_rng(0).normal(size=(4, 3, 2)), dtype)
    messages = [
        links.Message(links.Want(5, n), z * n, tf.constant([n] * 4, tf.int64))
        for n in (1, 2, 3)
    ]
    assert to_it.put(messages[0], 0.0)
    assert to_it.put(messages[1], 5.0)
    assert not to_it.put(messages[2], 0.0)
    assert not to_it.put(messages[2], 0.2)
    for sent in messages[:2]:
        found = inbox.take(1.0)
        assert found.want == sent.want
        assert found.z.dtype == dtype
        np.testing.assert_array_equal(found.z, sent.z)
        np.testing.assert_array_equal(found.labels, sent.labels)
    # What found no room in time is not there, and can be sent again.
    assert inbox.take(0.2) is None
    assert to_it.put(messages[2], 5.0)
    assert inbox.take(1.0).want.number == 3


def test_the_wait_for_room_is_no_limit_of_the_way_there():
    """A map of hundreds of MB takes longer than a look at signals."""
    (address,) = free_addresses(1)
    inbox = remote.RemoteInbox(1, address, 2, tf.float32)
    to_it = remote.RemoteOutbox(1, address, 2, tf.float32)
    z, labels = tf.ones((16, 1_000_000)), tf.zeros((16,), tf.int64)
    message = links.Message(links.Want(5, 1), z, labels)
    assert to_it.put(message, 0.002)  # 64 MB
    assert inbox.take(60.0).z.shape == z.shape


def test_a_call_that_the_runtime_aborts_ends_no_worker(monkeypatch):
    """Seen once: "The same RunGraph (Worker) request was received twice"."""
    (address,) = free_addresses(1)
    inbox = remote.RemoteInbox(1, address, 2, tf.float32)
    to_it = remote.RemoteOutbox(1, address, 2, tf.float32)
    run, calls = remote._Mailbox.run, collections.Counter()

    def aborted_once(mailbox, name, *values, seconds):
        found = run(mailbox, name, *values, seconds=seconds)
        if mailbox is not inbox._mailbox:
            return found
        calls[name] += 1
        if calls[name] == 1:
            raise tf.errors.AbortedError(None, None, "received twice")
        return found

    monkeypatch.setattr(remote._Mailbox, "run", aborted_once)
    inbox.announce(links.Want(5, 1))
    labels = tf.constant([0], tf.int64)
    for number in (1, 2):
        message = links.Message(links.Want(5, number), tf.ones((1,)), labels)
        assert to_it.put(message, 0.0)
    with pytest.raises(links.MessageLostError):
        inbox.take(1.0)
    assert inbox.take(1.0).want.number == 2
    assert calls["announce"] == calls["take"] == 2
    assert calls["size"] == 3


def test_T4_a_worker_s_log_that_is_cut_short_is_no_result(tiny, tmp_path):
    made = config.resolve(tiny, ["training.num_steps=4"])
    plan = Plan(made, (), tmp_path, "", (1, 2), 1.0, 0, (1, 1))
    for task in range(2):
        run = RunDirectory(plan.part_dir(task))
        for step in (2, 4):
            run.append_history({"step": step})
    assert [len(lines) for lines in decoupling._histories(plan)] == [2, 2]
    run.rewind_history(2)
    with pytest.raises(CheckpointError, match="its log ends at step 2"):
        decoupling._histories(plan)
    assert "modules_2_3" in str(run.path)
