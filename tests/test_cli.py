"""The command line: quick help, one-line errors, exit codes."""

import json
import subprocess
import sys

import pytest

from gim_tf import cli, experiments


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "gim_tf.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_names_every_verb_with_examples(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    verbs = ("run", "pretrain", "probe", "export", "report", "embed", "serve")
    added = ("neighbors", "neurons", "serve-check", "deploy", "import-weights")
    for verb in (*verbs, *added, "export-weights", "golden-check"):
        assert f"\n    {verb}" in text
        with pytest.raises(SystemExit):
            cli.main([verb, "--help"])
        assert "examples:\n  gim" in capsys.readouterr().out


@pytest.mark.parametrize("bench", ["data", "probe", "pipeline"])
def test_every_bench_has_examples(capsys, bench):
    with pytest.raises(SystemExit):
        cli.main(["bench", bench, "--help"])
    assert f"examples:\n  gim bench {bench}" in capsys.readouterr().out


def test_experiments_lists_all_of_them(capsys):
    assert cli.main(["experiments", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == experiments.names()
    assert cli.main(["experiments"]) == 0
    assert "STL-10, Greedy InfoMax" in capsys.readouterr().out


def pretrain(directory, *more):
    return [
        "pretrain",
        "--experiment",
        "fashion_mnist_gim",
        "--output-dir",
        str(directory),
        *more,
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "training.steps=3"), "nearest known one is 'training."),
        (("--set", "data.source=folder"), "data.path"),
        (
            ("--set", "data.source=folder", "--data", "/nowhere/at/all"),
            "/nowhere/at/all",
        ),
        (("--set", "data.source=webcam"), "'webcam'"),
    ],
)
def test_T11_a_mistake_is_one_line_and_exit_code_two(
    tmp_path, capsys, arguments, message
):
    assert cli.main(pretrain(tmp_path / "out", *arguments)) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert message in lines[-1]
    assert lines[-1].startswith("gim: error: ")


def test_bulk_inference_of_recordings_is_refused_at_once(tmp_path, capsys):
    arguments = ["run", "--experiment", "flite_gim", "--bulk-infer"]
    directory = tmp_path / "out"
    assert cli.main([*arguments, "--output-dir", str(directory)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "'flite_gim' is on recordings" in line
    assert "embed the records with `gim embed" in line
    assert not directory.exists()


def test_an_unknown_experiment_and_an_unfinished_run(tmp_path, capsys):
    arguments = pretrain(tmp_path)
    arguments[2] = "fashion_mnist"
    assert cli.main(arguments) == 2
    assert "'fashion_mnist_gim'" in capsys.readouterr().err
    assert cli.main(["probe", "--output-dir", str(tmp_path)]) == 2
    assert "run `gim pretrain`" in capsys.readouterr().err
    assert cli.main(["report", "--output-dir", str(tmp_path)]) == 2
    assert "no finished run" in capsys.readouterr().err


def test_probe_takes_only_settings_of_the_probe(tmp_path, capsys):
    arguments = ["probe", "--output-dir", str(tmp_path)]
    assert cli.main([*arguments, "--set", "training.seed=5"]) == 2
    assert "received 'training.seed=5'" in capsys.readouterr().err


def test_a_file_in_the_way_is_named(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert cli.main(pretrain(tmp_path / "file" / "out")) == 2
    assert "Cannot create" in capsys.readouterr().err


def test_the_command_runs_as_a_module_of_its_own():
    done = run("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("gim_tf ")
