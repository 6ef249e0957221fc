"""Studies: plans, numbers and what is made of them, without training."""

import csv
import dataclasses
import itertools
import json
import math
import os
import statistics

import pytest

from gim_tf import config, experiments, studies
from gim_tf.errors import ConfigError, DataError
from gim_tf.studies import figures, resources, seeds, sweeps, tables, writing
from gim_tf.studies.ingesting import link, records_name
from gim_tf.studies.planning import (
    Request,
    plan_benches,
    plan_runs,
    read_if_of,
    same_data,
)
from gim_tf.studies.rows import Row, collect
from gim_tf.studies.spread import percent, spread, text

PNG = b"\x89PNG"


def request(directory, name="ablations", **values):
    defaults = {
        "dataset": "fashion_mnist",
        "seeds": (0, 1),
        "systems": ("gim", "gim_k_1"),
        "overrides": ("training.num_steps=6",),
    }
    return Request(
        study=studies.get(name), directory=directory, **{**defaults, **values}
    )


def summary(run, accuracies, *, controls=None, losses=(1.0, 2.0, 3.0)):
    """Of a run whose modules' probes had these accuracies."""
    return {
        "experiment": run.experiment.name,
        "seed": run.seed,
        "settings": config.to_dict(run.experiment),
        "data": {"fingerprint": "same"},
        "pretrain": {
            "seconds": 10.0 + run.seed,
            "steps": run.steps,
            "modules": {
                f"module_{i}": {
                    "loss": loss + 9.0,
                    "seen_loss": loss,
                    "heldout_loss": loss + run.seed,
                }
                for i, loss in enumerate(losses, 1)
            },
        },
        "probes": {
            f"module_{i}": {
                "linear_top1": accuracy,
                "untrained_linear_top1": accuracy / 2,
                "linear_grid_top1": None,
            }
            for i, accuracy in enumerate(accuracies, 1)
        },
        "controls": controls or {"raw_top1": 0.4, "chance": 0.1},
    }


def finish(run, *arguments, **options):
    run.directory.mkdir(parents=True, exist_ok=True)
    content = summary(run, *arguments, **options)
    (run.directory / "summary.json").write_text(json.dumps(content))
    training = run.directory / "training"
    training.mkdir(exist_ok=True)
    lines = [
        {
            "step": step,
            "module_1": {"seen_loss": 2.0 / step, "heldout_loss": 1.0},
        }
        for step in (2, 4)
    ]
    (training / "history.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in lines)
    )


@pytest.fixture
def results(tmp_path):
    """Three of four runs are finished."""
    asked = request(tmp_path)
    runs = plan_runs(asked)
    for run in runs[:3]:
        shift = 0.1 * (run.system.name == "gim") + 0.02 * run.seed
        finish(run, [0.3, 0.4, 0.5 + shift])
    return collect(asked, runs, [])


@pytest.mark.parametrize("name", studies.names())
def test_every_study_says_what_it_makes(name):
    study = studies.get(name)
    assert study.name == name
    assert set(study.tables) <= set(tables.TABLES)
    assert set(study.figures) <= set(figures.FIGURES)
    for dataset in study.datasets:
        fitting = [
            system.name
            for system in study.systems
            if not system.datasets or dataset in system.datasets
        ]
        assert len(set(fitting)) == len(fitting)
    assert study.systems or study.measurements


@pytest.mark.parametrize("dataset", ["fashion_mnist", "flite"])
def test_every_ablation_is_a_valid_experiment(dataset, tmp_path):
    """Each differs from the others, and from what it is an ablation of."""
    runs = plan_runs(
        request(tmp_path, dataset=dataset, systems=(), overrides=(), seeds=(0,))
    )
    assert len(runs) >= 9
    assert len({config.fingerprint(run.experiment) for run in runs}) == len(
        runs
    )
    assert len({run.directory for run in runs}) == len(runs)


def test_an_unknown_study_system_or_experiment_is_named(tmp_path):
    with pytest.raises(ConfigError, match="'ablations'"):
        studies.get("ablation")
    with pytest.raises(ConfigError, match="no system 'bert'"):
        plan_runs(request(tmp_path, systems=("bert",)))
    with pytest.raises(ConfigError, match=r"no experiment nothing_gim"):
        plan_runs(request(tmp_path, dataset="nothing", systems=("gim",)))
    with pytest.raises(ConfigError, match="gim: Unknown setting"):
        plan_runs(request(tmp_path, overrides=("training.steps=1",)))


def test_settings_of_all_runs_join_those_of_a_system(tmp_path):
    asked = request(tmp_path, data="a b.tar")
    run = plan_runs(asked)[1]
    assert run.system.name == "gim_k_1"
    assert run.experiment.stack.objective.prediction_steps == 1
    assert run.experiment.training.num_steps == 6
    assert run.experiment.data.path == "a b.tar"
    assert run.experiment.training.seed == 0
    # What the command line makes of its words is what was planned.
    words = run.commands()["pretrain"]
    settings = [b for a, b in itertools.pairwise(words) if a == "--set"]
    base = experiments.get(run.experiment.name)
    assert config.resolve(base, settings) == run.experiment


def test_no_setting_of_all_runs_makes_two_systems_equal(tmp_path):
    undone = ("stack.objective.prediction_steps=2",)
    with pytest.raises(ConfigError, match="what system 'gim_k_1' is about"):
        plan_runs(request(tmp_path, overrides=undone))
    # Nor one that has a system's setting in it.
    asked = {"dataset": "flite", "systems": ("gim_no_bptt",)}
    undone = ("stack.autoregressor=none", "stack.module_sizes=[1, 1, 1, 1, 1]")
    with pytest.raises(ConfigError, match="system 'gim_no_bptt' is about"):
        plan_runs(request(tmp_path, overrides=undone, **asked))
    asked["systems"] = ("gim_no_autoregressor",)
    undone = ("stack.autoregressor.kind=gru",)
    with pytest.raises(ConfigError, match="'gim_no_autoregressor' is about"):
        plan_runs(request(tmp_path, overrides=undone, **asked))


@pytest.mark.parametrize(
    ("dataset", "system"),
    [
        ("stl10", "cpc"),
        ("stl10", "supervised"),
        ("librispeech", "cpc"),
    ],
)
def test_end_to_end_systems_are_probed_where_modules_end(
    dataset, system, tmp_path
):
    asked = request(
        tmp_path, "accuracy", dataset=dataset, systems=(system,), overrides=()
    )
    run = plan_runs(asked)[0]
    gim = experiments.get(f"{dataset}_gim")
    assert run.experiment.probed_sizes == gim.stack.module_sizes
    assert run.experiment.stack.num_modules == 1


def test_a_run_is_finished_by_a_summary_of_its_own_settings(tmp_path):
    run, other = plan_runs(request(tmp_path))[:2]
    assert run.summary() is None
    finish(run, [0.5])
    assert run.summary()["seed"] == 0
    path = run.directory / "summary.json"
    assert read_if_of(path, other.experiment) is None
    longer = config.resolve(run.experiment, ["training.num_steps=7"])
    assert read_if_of(path, longer) is None
    # What only ingest tells, and prose, are no settings.
    prose = dataclasses.replace(run.experiment, cost="more")
    assert read_if_of(path, prose) is not None
    path.write_text(path.read_text()[:-40])
    assert run.summary() is None


def test_steps_and_progress_of_a_run(tmp_path):
    asked = request(
        tmp_path,
        overrides=("training.num_steps=6", "training.schedule=sequential"),
    )
    run = plan_runs(asked)[0]
    assert run.steps == 18
    assert run.step() == 0
    finish(run, [0.5])
    assert run.step() == 4
    with (run.directory / "training" / "history.jsonl").open("a") as history:
        history.write('{"step": 6, "mod')  # cut short by a kill
    assert run.step() == 0  # unknown, which is no error


def test_spread_is_that_of_a_sample():
    values = [0.5, 0.6, 0.8]
    found = spread([*values, None, math.nan])
    assert found.mean == pytest.approx(sum(values) / 3)
    assert found.std == pytest.approx(statistics.stdev(values))
    assert found.n == 3
    assert percent(found) == "63.3 +- 15.3"
    assert text(spread([2.0]), 0) == "2"
    assert text(spread([])) == "-"


def test_the_table_is_of_last_modules_and_says_how_many_seeds(results):
    table = tables.systems(results)
    cells = {row[0]: row[1:] for row in table.rows}
    # 60 and 62 %, of one system with two seeds.
    assert cells["Greedy InfoMax"] == ["61.0 +- 1.4", "2", "10 +- 1"]
    assert cells["K = 1"] == ["50.0", "1", "10"]
    assert cells["same network, untrained"][0] == "30.5 +- 0.7"
    assert cells["linear on raw input"][0] == "40.0 +- 0.0"
    assert results.missing == ["gim_k_1, seed 1"]
    assert "MFCC with deltas" not in cells


def test_what_is_the_paper_s_is_marked(tmp_path):
    asked = request(tmp_path, "accuracy", systems=("gim",), overrides=())
    runs = plan_runs(asked)
    for run in runs:
        finish(run, [0.5, 0.6, 0.7])
    table = tables.systems(collect(asked, runs, []))
    assert table.header[2] == "the paper's, STL-10"
    cells = {row[0]: row[2] for row in table.rows}
    assert cells["Greedy InfoMax"] == "81.9 (secondary source)"
    assert cells["same network, untrained"] == "27.0 (unverified)"
    assert cells["linear on raw input"] == "-"
    assert "not of these data" in table.note


def test_errors_by_depth_have_a_column_a_module(results):
    table = tables.by_depth(results)
    assert table.header == [
        *("system", "task", "module 1", "module 2", "module 3", "n")
    ]
    assert table.rows[0] == [
        *("Greedy InfoMax", "classes"),
        *("70.0 +- 0.0", "60.0 +- 0.0", "39.0 +- 1.4", "2"),
    ]
    assert table.rows[-1] == [
        *("same network, untrained", "classes"),
        *("85.0 +- 0.0", "80.0 +- 0.0", "69.5 +- 0.7", "2"),
    ]


def test_the_paper_s_errors_by_depth_are_a_table_of_their_own(tmp_path):
    asked = request(tmp_path, "per_module", systems=(), overrides=())
    found = collect(asked, [], [])
    assert not tables.paper_by_depth(found).rows
    ours = Row("", "", "gim", 0, "module_1", "speaker", "linear_top1", 0.5)
    found = dataclasses.replace(found, rows=[ours])
    table = tables.paper_by_depth(found)
    assert "The paper's figure" in table.title
    assert "Not ours" in table.note
    assert table.rows[0] == [
        *("Greedy InfoMax", "74.2", "9.97", "2.03", "1.3", "0.93", "0.64")
    ]


SWEEP = {
    "dataset": "fashion_mnist",
    "vary": {"stack.objective.prediction_steps": [1, 3]},
    "together": [{"training.learning_rate": 1e-3, "training.batch_size": 8}],
}


def swept(tmp_path, content):
    path = tmp_path / "mine.json"
    path.write_text(
        content if isinstance(content, str) else json.dumps(content)
    )
    return sweeps.read(path)


def test_a_sweep_of_a_user_s_own_is_a_study(tmp_path):
    study = swept(tmp_path, SWEEP)
    asked = dataclasses.replace(
        request(tmp_path, systems=(), overrides=(), seeds=(0,)), study=study
    )
    runs = plan_runs(asked)
    assert study.name == "mine"
    assert [run.system.title for run in runs] == [
        *("as it is", "prediction_steps = 1", "prediction_steps = 3"),
        "learning_rate = 0.001, batch_size = 8",
    ]
    steps = [run.experiment.stack.objective.prediction_steps for run in runs]
    assert steps[1:3] == [1, 3]
    assert runs[3].experiment.training.batch_size == 8
    assert len({run.directory for run in runs}) == len(runs)
    signs = {"dataset": "flite", "vary": {"blessing.margin": [-1, 1]}}
    names = [system.name for system in swept(tmp_path, signs).systems]
    assert len(set(names)) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "no JSON"),
        ([], "received list"),
        ({"dataset": "flite", "varies": {}}, "'varies'"),
        ({"vary": {"training.seed": [1]}}, "'dataset'"),
        ({"dataset": 3, "vary": {"training.seed": [1]}}, "text as 'dataset'"),
        ({"dataset": "flite", "vary": {"training.seed": 1}}, "list of values"),
        ({"dataset": "flite", "together": [3]}, "list of objects"),
        ({"dataset": "flite"}, "something to 'vary'"),
        ({"dataset": "flite", "vary": {"training.seed": [1, 1]}}, "twice"),
    ],
)
def test_what_is_no_sweep_is_refused_in_one_line(tmp_path, content, message):
    with pytest.raises(ConfigError, match=message) as caught:
        swept(tmp_path, content)
    assert "mine.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_losses_tell_whether_a_module_overfits(results):
    first = tables.losses(results).rows[0]
    # Held-out minus training is 0 and 1 of the two seeds.
    assert first[:5] == [
        *("Greedy InfoMax", "module 1"),
        *("1.000 +- 0.000", "1.500 +- 0.707", "0.500 +- 0.707"),
    ]


def measured(bench, **values):
    bench.path.parent.mkdir(parents=True, exist_ok=True)
    content = {"settings": config.to_dict(bench.experiment), **values}
    bench.path.write_text(json.dumps(content))


def test_schedules_at_equal_compute(tmp_path):
    asked = request(tmp_path, "iterative", systems=())
    runs, benches = plan_runs(asked), plan_benches(asked)
    for run in runs:
        finish(run, [0.5])
    for bench, flops, peak in zip(benches, (3e9, 6e9), (500, 300), strict=True):
        measured(
            bench,
            flops_per_step=flops,
            peak_mib_above_import=peak,
        )
    rows = tables.schedules(collect(asked, runs, benches)).rows
    assert [row[:4] for row in rows] == [
        ["simultaneous", "6", "6 +- 0", "6"],
        ["sequential", "6", "18 +- 0", "3"],
    ]
    assert [row[5] for row in rows] == ["500", "300"]


def test_memory_is_a_row_a_variant(tmp_path):
    asked = request(tmp_path, "memory", dataset="stl10", systems=())
    benches = plan_benches(asked)
    assert [b.measurement.name for b in benches] == ["memory", "memory_stl10"]
    line = {
        "variant": "GIM, freed tapes",
        "peak_mib_above_import": 1234.4,
        "of_supervised": 0.5,
        "kept_mib": 20.0,
        "kept_of_supervised": 0.25,
        "wall_s": {"median": 1.5},
        "parameters": 1000,
    }
    measured(
        benches[0],
        experiment="stl10_gim",
        batch_size=32,
        rows=[line],
    )
    found = collect(asked, [], benches)
    assert found.missing == ["bench memory_stl10"]
    assert tables.memory(found).rows == [
        [
            *("stl10_gim", "GIM, freed tapes", "32", "1,234", "0.50"),
            *("20.0", "0.25", "1.500", "1,000"),
        ]
    ]
    values = {row.metric: row.value for row in found.rows}
    assert values["wall_s"] == 1.5
    assert figures.memory(found).startswith(PNG)


def test_everything_is_written_again_from_the_summaries(results, tmp_path):
    content = writing.write(results)
    place = tmp_path / "ablations_fashion_mnist"
    assert {path.name for path in place.iterdir()} == {
        *("results.csv", "results.json", "table.md", "figure.png"),
        "study.html",
    }
    assert json.loads((place / "results.json").read_text()) == content
    with (place / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(content["rows"])
    (best,) = (
        row
        for row in rows
        if (row["system"], row["seed"]) == ("gim", "1")
        and (row["module"], row["metric"]) == ("module_3", "linear_top1")
    )
    assert float(best["value"]) == pytest.approx(0.62)
    assert (place / "figure.png").read_bytes().startswith(PNG)
    page = (place / "study.html").read_text()
    assert "61.0 +- 1.4" in page
    assert "gim_k_1, seed 1" in page
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    writing.write(results)
    assert before == {path.name: path.read_bytes() for path in place.iterdir()}


@pytest.mark.parametrize("name", ["by_depth", "losses", "systems"])
def test_figures_are_pictures(results, name):
    assert figures.FIGURES[name](results).startswith(PNG)


def test_runs_on_other_data_are_not_compared(results):
    summaries = {one.run.label: dict(one.summary) for one in results.finished}
    same_data(summaries)
    summaries["gim, seed 1"]["data"] = {"fingerprint": "other"}
    with pytest.raises(ConfigError, match="data of other content"):
        same_data(summaries)


def test_one_experiment_over_seeds(tmp_path):
    runs = [r for r in plan_runs(request(tmp_path)) if r.system.name == "gim"]
    found = [summary(run, [0.5 + 0.1 * run.seed]) for run in runs]
    (task,) = seeds.over_seeds(found)
    assert task.table.header == ["module", "linear", "untrained"]
    assert task.table.rows == [["module_1", "55.0 +- 7.1", "27.5 +- 3.5"]]
    assert task.figures["controls"]["chance"].mean == pytest.approx(0.1)
    with pytest.raises(DataError, match="a seed a run"):
        seeds.over_seeds([found[0], found[0]])
    longer = request(tmp_path, overrides=("training.num_steps=7",))
    other = next(r for r in plan_runs(longer) if r.seed == 1)
    with pytest.raises(DataError, match=r"received training\.num_steps=7"):
        seeds.over_seeds([found[0], summary(other, [0.6])])


def test_records_are_linked_once_and_again_when_they_changed(tmp_path):
    shared, own = tmp_path / "shared", tmp_path / "run" / "records"
    (shared / "Split-test").mkdir(parents=True)
    own.parent.mkdir()
    (shared / "ingest.json").write_text("1")
    (shared / "Split-test" / "part").write_text("records")
    link(shared, own)
    copy = own / "Split-test" / "part"
    assert copy.samefile(shared / "Split-test" / "part")
    marker = own / "kept"
    marker.touch()
    link(shared, own)
    assert marker.exists()
    (shared / "ingest.json").unlink()  # as ingest does: another file
    (shared / "ingest.json").write_text("2")
    link(shared, own)
    assert not marker.exists()
    assert (own / "ingest.json").read_text() == "2"


def test_records_have_a_name_of_their_settings(tmp_path):
    one, other = plan_runs(request(tmp_path))[:2]
    assert records_name(one.experiment) == records_name(other.experiment)
    moved = config.resolve(one.experiment, ["data.path=elsewhere"])
    assert records_name(moved) != records_name(one.experiment)


def test_jobs_by_cores_and_memory(monkeypatch, tmp_path):
    monkeypatch.setattr(resources, "_CARDS", tmp_path / "none")
    monkeypatch.setattr(resources, "cores", lambda: 8)
    monkeypatch.setattr(resources, "available_gigabytes", lambda: 10.0)
    assert resources.default_jobs(20, 3.0) == 3
    assert resources.default_jobs(2, 3.0) == 2
    assert resources.default_jobs(20, 100.0) == 1
    assert resources.environment(4)["TF_NUM_INTRAOP_THREADS"] == "2"
    assert resources.environment(1) == dict(os.environ)
    (tmp_path / "cards" / "0").mkdir(parents=True)
    monkeypatch.setattr(resources, "_CARDS", tmp_path / "cards")
    assert resources.default_jobs(20, 3.0) == 1


def test_memory_that_is_available_is_known():
    assert 0.01 < resources.available_gigabytes() < 100_000


def test_a_containers_limits_count(tmp_path, monkeypatch):
    free, cores = resources.available_gigabytes(), resources.cores()
    monkeypatch.setattr(resources, "_GROUP", tmp_path)
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert resources.cores() == cores
    assert resources.available_gigabytes() == pytest.approx(free, rel=0.2)
    (tmp_path / "memory.max").write_text("300000000\n")
    (tmp_path / "memory.current").write_text("100000000\n")
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert resources.available_gigabytes() == 0.2
    assert resources.cores() == 1
