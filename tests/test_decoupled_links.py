"""The protocol between two workers, the division among them, the options."""

import itertools
import json
import threading

import numpy as np
import pytest
import tensorflow as tf

from gim_tf import config
from gim_tf.cli import decoupling
from gim_tf.cli.arguments import parser
from gim_tf.cli.shared import resolved
from gim_tf.errors import CheckpointError, ConfigError, WorkerLostError
from gim_tf.jobs import decoupled_division, decoupled_plan
from gim_tf.training.decoupled import links
from gim_tf.training.decoupled.division import divide
from gim_tf.training.decoupled.memory import MemoryMailbox
from gim_tf.training.decoupled.worker import checkpoints_to_keep
from gim_tf.training.interrupts import Interrupts, StopWaiting

LABELS = tf.constant([0], tf.int64)


def z(number):
    return tf.constant([float(number)])


def patience(seconds=30.0):
    return links.Patience(Interrupts(), seconds)


def numbers(batches, count):
    return [int(b.x[0]) for b in itertools.islice(batches, count)]


def never():
    return False


def sender_to(box, seconds=30.0, is_done=never):
    return links.OrderedSender(box, patience(seconds), "Worker 2", is_done)


def receiver_of(box, seconds=30.0):
    return links.OrderedReceiver(box, patience(seconds), "Worker 1")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(links, "POLL_SECONDS", 0.01)


def send_all(sender, steps):
    for number in steps:
        sender.send(number, z(number), LABELS)


def test_every_batch_arrives_once_and_in_order():
    box = MemoryMailbox(2)
    batches = receiver_of(box)(1)
    thread = threading.Thread(
        target=send_all, args=(sender_to(box), range(1, 30))
    )
    thread.start()
    assert numbers(batches, 29) == list(range(1, 30))
    thread.join()


def test_no_more_than_the_queue_holds_is_on_its_way():
    box = MemoryMailbox(3)
    batches = receiver_of(box)(1)
    sent = []

    def send():
        sender = sender_to(box)
        for number in range(1, 21):
            sender.send(number, z(number), LABELS)
            sent.append(number)

    thread = threading.Thread(target=send)
    thread.start()
    ahead = []
    for received, _ in enumerate(itertools.islice(batches, 20)):
        thread.join(timeout=0.02)  # time to send as many as there is room for
        ahead.append(len(sent) - received)
    thread.join()
    # The one just received, and three that wait.
    assert max(ahead) <= 4
    assert max(ahead) >= 3


def test_a_receiver_that_comes_back_is_followed_to_what_it_lacks():
    box = MemoryMailbox(4)
    first = receiver_of(box)(1)
    sender = sender_to(box)
    send_all(sender, (1, 2, 3))
    assert numbers(first, 2) == [1, 2]
    # Killed, and back from a checkpoint of step 1: it wants 2 again.
    second = receiver_of(box)(2)
    with pytest.raises(links.RewindError) as rewind:
        sender.send(4, z(4), LABELS)
    assert rewind.value.step == 1
    # The sender's own checkpoint is of step 0: what is repeated is dropped.
    send_all(sender, (1, 2, 3))
    assert numbers(second, 2) == [2, 3]


def test_a_sender_that_comes_back_repeats_without_being_heard_twice():
    box = MemoryMailbox(8)
    batches = receiver_of(box)(1)
    send_all(sender_to(box), (1, 2, 3))
    assert numbers(batches, 3) == [1, 2, 3]
    send_all(sender_to(box), (2, 3, 4))
    assert numbers(batches, 1) == [4]
    # One that is past what is wanted goes back.
    with pytest.raises(links.RewindError) as rewind:
        sender_to(box).send(8, z(8), LABELS)
    assert rewind.value.step == 4


def test_a_batch_that_was_lost_is_asked_for_again():
    box = MemoryMailbox(8)
    batches = receiver_of(box)(1)
    sender = sender_to(box)
    send_all(sender, (1, 2, 3))
    assert box.take(0).want.number == 1  # lost on its way
    found = []
    thread = threading.Thread(target=lambda: found.extend(numbers(batches, 3)))
    thread.start()
    while box.want().number != 1 or box.want().generation == sender._generation:
        thread.join(timeout=0.01)
    with pytest.raises(links.RewindError):
        sender.send(4, z(4), LABELS)
    send_all(sender, (1, 2, 3))
    thread.join()
    assert found == [1, 2, 3]


class LossyMailbox(MemoryMailbox):
    """Takes every fourth message, and loses it."""

    taken = 0

    def take(self, seconds):
        found = super().take(seconds)
        self.taken += found is not None
        if found is not None and self.taken % 4 == 0:
            raise links.MessageLostError
        return found


def test_a_mailbox_that_loses_the_last_batch_is_asked_again():
    """Nothing comes after it that would tell."""
    box = LossyMailbox(8)
    batches = receiver_of(box)(1)
    sender = sender_to(box)
    send_all(sender, (1, 2, 3, 4))
    found = []
    thread = threading.Thread(target=lambda: found.extend(numbers(batches, 4)))
    thread.start()
    with pytest.raises(links.RewindError) as rewind:
        sender.finish(4, iter(()))
    assert rewind.value.step == 3
    send_all(sender, (4,))
    thread.join()
    assert found == [1, 2, 3, 4]


def test_free_running_does_without_what_is_lost():
    box = LossyMailbox(8)
    receiver = links.FreeReceiver(box, patience(), "Worker 1", keep=2)
    batches = receiver(1)
    sender = links.FreeSender(box, patience(), "Worker 2", never)
    send_all(sender, (1, 2, 3, 4))
    assert numbers(batches, 3) == [3, 3, 2]


def test_the_end_waits_for_those_above_and_can_go_back():
    box = MemoryMailbox(2)
    receiver_of(box)(1)
    answers = itertools.chain([False, False, True], itertools.repeat(False))
    sender = sender_to(box, is_done=lambda: next(answers))
    sender.send(1, z(1), LABELS)
    sender.finish(1, iter(()))
    receiver_of(box)(1)
    with pytest.raises(links.RewindError):
        sender.finish(1, iter(()))


def test_who_is_done_or_further_holds_up_nobody():
    """A sender that was killed just before its end repeats it alone."""
    box = MemoryMailbox(1)
    batches = receiver_of(box)(1)
    send_all(sender_to(box), (1,))
    assert numbers(batches, 1) == [1]
    # The receiver is at 2 and reads no more: 0 and 1 find a full queue.
    send_all(sender_to(box), (2,))
    sender = sender_to(box)
    send_all(sender, (0, 1))
    # Nobody is there any more, and nobody needs anything.
    gone = sender_to(MemoryMailbox(1), is_done=lambda: True)
    send_all(gone, (1, 2, 3))


def test_nothing_waits_for_ever():
    box = MemoryMailbox(1)
    with pytest.raises(WorkerLostError, match=r"Worker 1, .* for 0\.05 s"):
        next(receiver_of(box, 0.05)(1))
    sender = sender_to(box, 0.05)
    sender.send(1, z(1), LABELS)
    with pytest.raises(WorkerLostError, match="Worker 2, which takes"):
        sender.send(2, z(2), LABELS)
    nobody = sender_to(MemoryMailbox(1), 0.05)
    with pytest.raises(WorkerLostError):
        nobody.send(1, z(1), LABELS)
    with pytest.raises(WorkerLostError, match="not done yet"):
        nobody.finish(1, iter(()))
    told = Interrupts()
    told.received = 15
    waiting = links.OrderedReceiver(box, links.Patience(told, 30.0), "W")
    with pytest.raises(StopWaiting):
        next(waiting(9))


def test_free_running_takes_the_newest_or_a_recent_one_again():
    box = MemoryMailbox(3)
    receiver = links.FreeReceiver(box, patience(), "Worker 1", keep=2)
    batches = receiver(1)
    sender = links.FreeSender(box, patience(), "Worker 2", never)
    send_all(sender, range(1, 6))  # 4 and 5 find no room
    assert numbers(batches, 1) == [3]
    assert sorted(numbers(batches, 4)) == [2, 2, 3, 3]
    send_all(sender, (7,))
    assert numbers(batches, 1) == [7]
    assert receiver.account == (
        "2 new batches, 4 times a recent one again, 5 left out"
    )


def test_free_running_serves_on_after_its_own_end():
    box = MemoryMailbox(1)
    links.FreeReceiver(box, patience(), "Worker 1", keep=2)(1)
    answers = itertools.chain([False] * 5, itertools.repeat(True))
    sender = links.FreeSender(
        box, patience(), "Worker 2", lambda: next(answers)
    )
    sender.finish(7, ((z(n), LABELS) for n in itertools.count(8)))
    assert box.take(0).want.number == 8


def test_division_is_the_best_of_all():
    generator = np.random.default_rng(0)
    for _ in range(20):
        seconds = generator.uniform(1, 10, 7).tolist()
        for workers in range(1, 8):
            found = divide(seconds, workers)
            assert sum(found.sizes) == 7
            assert len(found.sizes) == workers
            assert min(found.sizes) >= 1
            best = min(
                max(
                    sum(seconds[a:b])
                    for a, b in itertools.pairwise((0, *cuts, 7))
                )
                for cuts in itertools.combinations(range(1, 7), workers - 1)
            )
            assert max(found.seconds) == pytest.approx(best)
            assert found.speed_up == pytest.approx(sum(seconds) / best)
    with pytest.raises(ValueError, match="1 to 2 workers"):
        divide([1.0, 1.0], 3)


def test_modules_and_devices_are_divided_as_well_as_can_be():
    """Against all cuts and all numbers of replicas."""
    generator = np.random.default_rng(1)
    possible = (1, 2, 3, 4)
    for devices in (1, 2, 4, 5, 7):
        seconds = generator.uniform(1, 10, 4).tolist()
        for workers in range(1, min(devices, 4) + 1):
            found = divide(
                seconds, workers, choices=[possible] * workers, devices=devices
            )
            best, fewest = min(
                (
                    max(
                        sum(seconds[a:b]) / n
                        for (a, b), n in zip(
                            itertools.pairwise((0, *cuts, 4)),
                            numbers,
                            strict=True,
                        )
                    ),
                    sum(numbers),
                )
                for cuts in itertools.combinations(range(1, 4), workers - 1)
                for numbers in itertools.product(possible, repeat=workers)
                if sum(numbers) <= devices
            )
            assert max(found.seconds) == pytest.approx(best)
            assert sum(found.replicas) == fewest
            assert found.speed_up == pytest.approx(sum(seconds) / best)
    # Numbers that are given stay where they are.
    found = divide([4.0, 1.0, 1.0], 2, choices=[(1,), (2,)])
    assert (found.sizes, found.replicas) == ((1, 2), (1, 2))
    assert found.seconds == (4.0, 1.0)
    with pytest.raises(ValueError, match="received 1"):
        divide([1.0, 1.0], 2, choices=[possible] * 2, devices=1)


def test_enough_checkpoints_are_kept_to_go_back_to():
    for every, workers, queue in ((1, 2, 1), (5, 3, 2), (200, 2, 2), (3, 9, 8)):
        kept = checkpoints_to_keep(every, workers, queue)
        oldest_ahead = (kept - 2) * every
        assert oldest_ahead >= every + workers * (queue + 2)


def test_settings_that_contradict_a_decoupled_schedule(tiny):
    for override, message in (
        ("training.decoupled_mode=free_running", "is for training.schedule"),
        ("training.decoupled_queue=0", "decoupled_queue must be >= 1"),
        ("training.decoupled_mode=fast", "decoupled_mode"),
    ):
        with pytest.raises(ConfigError, match=message):
            config.resolve(tiny, [override])
    on = "training.schedule=decoupled"
    for override, message in (
        ("training.heldout_every=5", "heldout_every"),
        ("training.strategy=multiworker", "'mirrored' over the devices"),
    ):
        with pytest.raises(ConfigError, match=message):
            config.resolve(tiny, [on, override])
    config.resolve(tiny, [on, "training.strategy=mirrored"])


def shares_of(tiny, run_dir, *overrides, **workers):
    """Without data, so without a measurement."""
    experiment = config.resolve(
        tiny, ["training.schedule=decoupled", *overrides]
    )
    made = decoupled_plan.Workers(**{"kind": "processes", **workers})
    return decoupled_division.shares(experiment, None, run_dir, made)


def test_devices_are_given_to_processes_alone(tiny, tmp_path):
    on = "training.strategy=mirrored"
    given = {"sizes": (1, 2), "devices": (1, 2)}
    assert shares_of(tiny, tmp_path, on, **given) == ((1, 2), (1, 2))
    apart = {"kind": "cluster", "addresses": ("a:1", "b:1")}
    found = shares_of(tiny, tmp_path, on, **apart, sizes=(1, 2))
    assert found == ((1, 2), ())
    assert shares_of(tiny, tmp_path, sizes=(1, 2)) == ((1, 2), (1, 1))
    for overrides, wrong, message in (
        ([], given, "--devices is for --strategy mirrored"),
        ([on], {**given, "kind": "threads"}, "Workers of one process cannot"),
        ([on], {**given, **apart}, "hide GPUs by CUDA_VISIBLE_DEVICES"),
        ([on], {**given, "devices": (1, 2, 1)}, "or 2, one a worker"),
        ([on], {**given, "devices": (1, 0)}, "received 1,0"),
        ([on], {**given, "devices": (1,)}, "2 workers need a device each"),
        ([on], {**given, "devices": (1, 3)}, "a multiple of the 3 replicas"),
    ):
        with pytest.raises(ConfigError, match=message):
            shares_of(tiny, tmp_path, *overrides, **wrong)


def test_a_run_keeps_its_devices(tiny, tmp_path):
    on = "training.strategy=mirrored"
    plan = decoupled_plan.Plan(
        tiny, (), tmp_path, "logs", (1, 2), 600.0, 0, (2, 4)
    )
    decoupled_plan.write_plan(plan)
    assert decoupled_plan.read_plan(tmp_path) == plan
    for devices in ((), (2, 4), (8,)):
        found = shares_of(tiny, tmp_path, on, count=2, devices=devices)
        assert found == ((1, 2), (2, 4))
    for overrides, devices in (([on], (4, 2)), ([], ())):
        with pytest.raises(CheckpointError, match="on 2, 4 devices"):
            shares_of(tiny, tmp_path, *overrides, count=2, devices=devices)


def workers_of(*options):
    given = parser().parse_args(
        [
            *("pretrain", "--experiment", "fashion_mnist_gim"),
            *("--output-dir", "outputs/x", *options),
        ]
    )
    return decoupling.workers(given, resolved(given))


def test_options_become_workers(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert workers_of() == (None, 0)
    on = ("--schedule", "decoupled")
    found, task = workers_of(*on, "--workers", "2")
    assert (found.kind, found.count, task) == ("processes", 2, 0)
    assert workers_of(*on, "--in-process")[0].kind == "threads"
    assert workers_of(*on, "--devices", "1,2")[0].devices == (1, 2)
    found, task = workers_of(*on, "--cluster", "a:1,b:2", "--task", "1")
    assert (found.kind, found.count, task) == ("cluster", 2, 1)
    assert found.addresses == ("a:1", "b:2")
    for wrong, message in (
        (("--workers", "2"), "--workers is for --schedule decoupled"),
        (("--devices", "2"), "--devices is for --schedule decoupled"),
        ((*on, "--workers", "0"), "at least 1"),
        ((*on, "--cluster", "a:1"), "belong together"),
        ((*on, "--cluster", "a:1", "--task", "1"), "--task must be from 0"),
        (
            (*on, "--cluster", "a:1", "--task", "0", "--workers", "1"),
            "started elsewhere",
        ),
    ):
        with pytest.raises(ConfigError, match=message):
            workers_of(*wrong)


def test_tf_config_is_a_cluster(monkeypatch):
    on = ("--schedule", "decoupled")
    cluster = {"chief": ["a:1"], "worker": ["b:2", "c:3"]}
    task = {"type": "worker", "index": "1"}
    monkeypatch.setenv(
        "TF_CONFIG", json.dumps({"cluster": cluster, "task": task})
    )
    found, number = workers_of(*on)
    assert (found.addresses, number) == (("a:1", "b:2", "c:3"), 2)
    assert workers_of(*on, "--workers", "3")[0].kind == "processes"
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster}))
    with pytest.raises(ConfigError, match="TF_CONFIG is not understood"):
        workers_of(*on)
    for none in ("{}", "", json.dumps({"cluster": {}, "task": task})):
        monkeypatch.setenv("TF_CONFIG", none)
        assert workers_of(*on)[0].kind == "processes"
