"""The plan against closed forms, slow twins and hand calculation."""

import itertools
import json

import numpy as np
import pytest

from gim_tf.cli import main
from gim_tf.errors import ConfigError
from gim_tf.planning.costs import Costs, ModuleCost, from_dict, grouped
from gim_tf.planning.devices import plan_devices
from gim_tf.planning.network import Network
from gim_tf.planning.simulation import run_line, simulate
from gim_tf.planning.systems import (
    Settings,
    data_parallel,
    decoupled,
    gpipe,
    stages,
)
from gim_tf.planning.table import WORKERS, plan

MIB = 1024**2
FREE = Network(bandwidth=1e30, latency=0.0, local_latency=0.0)
SLOW = Network(bandwidth=1e8, latency=1e-3)


def module(forward=0.1, backward=0.2, *, output=MIB, kept=4 * MIB, size=MIB):
    return ModuleCost(
        forward_s=forward,
        backward_s=backward,
        output_bytes=output,
        kept_bytes=kept,
        parameter_bytes=size,
    )


def network_of(*seconds):
    modules = tuple(module(s / 3, s * 2 / 3) for s in seconds)
    return Costs(batch_size=64, modules=modules)


def slow_twin(times, queue):
    """Seconds at which batches leave a line: a recursion, no events.

    A stage starts a batch when it has come and the one before has been handed
    on; it hands on batch k when that is done and batch k - queue has been
    started behind it, which leaves a place in the queue.
    """
    batches, stages = times.shape
    start, gone = np.zeros((batches, stages)), np.zeros((batches, stages))
    for k, m in itertools.product(range(batches), range(stages)):
        arrived = gone[k, m - 1] if m else 0.0
        start[k, m] = max(arrived, gone[k - 1, m] if k else 0.0)
        gone[k, m] = start[k, m] + times[k, m]
        if m + 1 < stages and k >= queue:
            # Batches before k have been through all stages of this loop.
            gone[k, m] = max(gone[k, m], start[k - queue, m + 1])
    return gone[:, -1]


@pytest.mark.parametrize("queue", [1, 2, 5])
@pytest.mark.parametrize(
    "seconds", [[0.3], [0.2, 0.5], [0.5, 0.1, 0.4, 0.2], [0.1] * 7]
)
def test_a_line_without_jitter_has_the_closed_form(seconds, queue):
    batches = 50
    found = simulate(seconds, batches=batches, queue=queue)
    slowest = max(seconds)
    assert found.filling == pytest.approx(sum(seconds))
    assert found.period == pytest.approx(slowest)
    assert found.seconds == pytest.approx(
        sum(seconds) + (batches - 1) * slowest
    )
    assert max(found.waiting) <= queue
    for busy, own in zip(found.busy, seconds, strict=True):
        assert busy == pytest.approx(own * batches / found.seconds)


@pytest.mark.parametrize("queue", [1, 3])
@pytest.mark.parametrize("stages", [1, 2, 5])
def test_unequal_times_as_by_the_recursion(queue, stages):
    generator = np.random.default_rng(queue)
    times = generator.uniform(0.1, 2.0, (40, stages))
    found = run_line(times, queue=queue)
    left = slow_twin(times, queue)
    assert found.filling == pytest.approx(left[0])
    assert found.seconds == pytest.approx(left[-1])
    assert found.period == pytest.approx((left[-1] - left[19]) / 20)


def test_jitter_is_a_function_of_the_seed_and_slows_down():
    def run(seed, queue=2):
        return simulate(
            [1.0] * 5, batches=600, queue=queue, jitter=0.3, seed=seed
        )

    assert run(0) == run(0)
    assert run(0) != run(1)
    assert run(0).period > 1.03
    # A longer queue evens it out.
    assert run(0, queue=30).period < run(0).period - 0.02


def test_a_simulation_refuses_what_it_cannot_do():
    for wrong in (
        {"seconds": []},
        {"seconds": [0.0]},
        {"batches": 1},
        {"queue": 0},
        {"jitter": -1.0},
    ):
        values = {"seconds": [1.0], "batches": 9, "queue": 1, **wrong}
        with pytest.raises(ConfigError, match="received"):
            simulate(values.pop("seconds"), **values)


def test_groups_are_as_balanced_as_all_divisions_allow():
    generator = np.random.default_rng(0)
    for _ in range(20):
        seconds = generator.uniform(0.1, 1.0, 8)
        modules = network_of(*seconds).modules
        for count in range(1, 9):
            cuts = itertools.combinations(range(1, 8), count - 1)
            best = min(
                max(sum(part) for part in np.split(seconds, cut))
                for cut in cuts
            )
            found = grouped(modules, count)
            assert [m for group in found for m in group] == list(modules)
            assert len(found) == count
            slowest = max(sum(m.step_s for m in group) for group in found)
            assert slowest == pytest.approx(best)


def test_decoupled_modules_run_as_fast_as_the_slowest():
    costs = network_of(0.2, 0.5, 0.3)
    settings = Settings(network=FREE)
    alone = decoupled(costs, 1, settings)
    assert alone.throughput == pytest.approx(64 / 1.0)
    two = decoupled(costs, 2, settings)
    assert two.throughput == pytest.approx(64 / 0.7)
    three = decoupled(costs, 3, settings)
    assert three.throughput == pytest.approx(64 / 0.5)
    assert three.bottleneck == "module 2"
    assert three.busy == pytest.approx(1.0 / (3 * 0.5))
    # A fourth worker helps the slowest: batch 4/3 as large, 0.25 s a batch.
    four = decoupled(costs, 4, settings)
    assert [stage.replicas for stage in stages(costs, 4)] == [1, 2, 1]
    assert four.batch == pytest.approx(64 * 4 / 3)
    assert four.seconds["module 2"] == pytest.approx(0.5 / 2 * 4 / 3)
    assert four.bottleneck == "module 3"
    # Its memory: weights, gradient, moments; activations; queue and its own.
    assert two.memory == (4 * 2 + 4) * MIB
    assert three.memory == (4 + 4 + 3) * MIB


def test_a_slow_link_is_the_bottleneck():
    costs = network_of(0.01, 0.01)
    found = decoupled(costs, 2, Settings(network=SLOW))
    assert found.bottleneck == "link 1-2"
    period = 1e-3 + MIB / 1e8
    assert found.throughput == pytest.approx(64 / period)
    assert found.traffic == pytest.approx(MIB / period)
    # On one host it is not.
    local = Network(bandwidth=1e8, latency=1e-3, workers_per_host=2)
    found = decoupled(costs, 2, Settings(network=local))
    assert found.bottleneck.startswith("module")


@pytest.mark.parametrize(("depth", "micro"), [(2, 4), (4, 8), (8, 32)])
def test_gpipe_of_equal_stages_has_the_bubble_of_the_paper(depth, micro):
    costs = network_of(*[0.4] * depth)
    settings = Settings(network=FREE, micro_batches=micro)
    found = gpipe(costs, depth, settings)
    seconds = (micro + depth - 1) * 0.4 / micro
    assert found.throughput == pytest.approx(64 / seconds)
    assert found.busy == pytest.approx(1 - (depth - 1) / (micro + depth - 1))
    assert found.seconds["bubble"] == pytest.approx(
        seconds * (depth - 1) / (micro + depth - 1)
    )
    assert found.memory == 8 * MIB
    again = gpipe(
        costs,
        depth,
        Settings(network=FREE, micro_batches=micro, rematerialise=True),
    )
    assert again.throughput == pytest.approx(found.throughput * 3 / 4)
    assert again.memory == (4 + 1 + 4 / micro) * MIB


def test_gpipe_of_one_stage_is_one_worker():
    costs = network_of(0.2, 0.3)
    found = gpipe(costs, 1, Settings(network=SLOW))
    assert found.throughput == pytest.approx(64 / 0.5)
    assert found.busy == pytest.approx(1.0)


def test_gpipe_beyond_its_depth_makes_whole_pipelines():
    costs = network_of(0.2, 0.2)
    found = gpipe(costs, 5, Settings(network=SLOW))
    assert found.batch == 2 * 64
    ring = 2 * 1 * (1e-3 + MIB / 2 / 1e8)
    assert found.seconds["all-reduce"] == pytest.approx(ring)


def test_a_ring_sends_almost_twice_the_parameters():
    for count in (2, 10, 1000):
        expected = 2 * (count - 1) * 1e-3 + 2 * (count - 1) / count * MIB / 1e8
        found = SLOW.all_reduce(MIB, first=0, count=count)
        assert found == pytest.approx(expected)
    assert SLOW.all_reduce(MIB, first=0, count=1) == 0.0
    costs = network_of(0.2, 0.3)
    found = data_parallel(costs, 10, Settings(network=SLOW))
    ring = SLOW.all_reduce(2 * MIB, first=0, count=10)
    assert found.batch == 640
    assert found.throughput == pytest.approx(640 / (0.5 + ring))
    assert found.memory == (4 * 2 + 2 * 4) * MIB


def test_the_plan_is_whole_and_simulates_what_it_calculates():
    costs = network_of(0.2, 0.5, 0.3).deepened(12)
    found = plan(costs, Settings(network=SLOW), memory=9 * MIB)
    assert json.loads(json.dumps(found)) == found
    assert [row["workers"] for row in found["rows"]][::3] == list(WORKERS)
    for row in found["rows"]:
        assert 0 < row["busy"] <= 1 + 1e-9
        assert row["speedup"] <= row["workers"] + 1e-9
        assert row["fits"] == (row["memory"] <= 9 * MIB)
        if row["system"] == "decoupled":
            assert row["simulated"] == pytest.approx(row["throughput"])
    with pytest.raises(ConfigError, match="--workers"):
        plan(costs, Settings(network=SLOW), [0])


def test_devices_go_where_they_help_most():
    costs = network_of(0.1, 0.2, 0.6)
    found = plan_devices(costs, Settings(network=FREE), 6)
    assert json.loads(json.dumps(found))["best"] == found["best"]
    # 64 examples are divided by 1, 2 or 4: 4 of 6 devices for one worker.
    assert [row["replicas"] for row in found["rows"]] == [
        (4,),
        (2, 4),
        (1, 1, 4),
    ]
    assert [row["sizes"] for row in found["rows"]] == [(3,), (2, 1), (1, 1, 1)]
    assert [row["speedup"] for row in found["rows"]] == [
        pytest.approx(value) for value in (4.0, 6.0, 4.5)
    ]
    assert found["best"] == 2
    assert all(row["batch"] == 64 for row in found["rows"])
    # Where all-reduce is dear, nothing is gained by it.
    slow = Network(bandwidth=1e6, latency=0.0)
    dear = plan_devices(costs, Settings(network=slow), 2)
    assert dear["rows"][0]["seconds"]["module 1-3"] > 0.9
    for wrong in (0, 10_000):
        with pytest.raises(ConfigError, match="--devices"):
            plan_devices(costs, Settings(network=FREE), wrong)


@pytest.mark.parametrize(
    "change",
    [
        {"modules": []},
        {"batch_size": 0},
        {"modules": [{}]},
        {"modules": [{**module().__dict__, "forward_s": float("nan")}]},
        {"modules": [{**module().__dict__, "kept_bytes": -1}]},
    ],
)
def test_costs_that_make_no_sense_are_refused(change):
    good = network_of(0.1).as_dict()
    assert from_dict(good) == network_of(0.1)
    with pytest.raises(ConfigError, match="osts"):
        from_dict({**good, **change})


def test_the_verb_prints_a_table_and_json(tmp_path, capsys):
    file = tmp_path / "costs.json"
    file.write_text(json.dumps(network_of(0.2, 0.5).as_dict()))
    words = ["plan", "--costs", str(file), "--workers", "2,4"]
    assert main([*words, "--output", str(tmp_path / "plan.png")]) == 0
    *table, line = capsys.readouterr().out.splitlines()
    assert len(table) == 7
    assert json.loads(line)["modules"] == 2
    assert (tmp_path / "plan.png").read_bytes().startswith(b"\x89PNG")
    assert main([*words[:3], "--devices", "3"]) == 0
    assert "fastest" in capsys.readouterr().out
    assert main([*words, "--devices", "3"]) == 2
    assert "--devices tries" in capsys.readouterr().err
    assert main([*words, "--json", "--depth", "1"]) == 2
    assert "--depth" in capsys.readouterr().err
    assert main(["plan"]) == 2
    assert "--costs" in capsys.readouterr().err
    assert main(["plan", "--costs", str(tmp_path / "none.json")]) == 2
