"""`gim import-weights`: a run directory like one of pretraining."""

import json

import numpy as np
import pytest

from gim_tf import build, cli, config, experiments, interop
from tests.source_files import write_idx

pytestmark = pytest.mark.integration

SETTINGS = (
    "data.source=idx",
    'data.class_names=["dark", "light", "noise"]',
    "data.min_examples=20",
    "view.size=16",
    "view.pad_to=16",
    "view.crop_size=16",
    "stack.encoder.stem_channels=4",
    "stack.encoder.planes=[4, 6]",
    "stack.encoder.depths=[1, 1]",
    "stack.module_sizes=[2, 1]",
    "stack.objective.prediction_steps=1",
    "training.num_steps=6",
    "probe.epochs=1",
    "probe.grid=False",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Data, and weights of a network with another seed, in one folder."""
    folder = tmp_path_factory.mktemp("import")
    (folder / "data").mkdir()
    for prefix, count in (("train", 30), ("t10k", 20)):
        shape = (count, 16, 16)
        images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        labels = np.arange(count, dtype=np.uint8) % 3
        write_idx(folder / "data", images, labels, prefix)
    experiment = config.resolve(
        experiments.get("fashion_mnist_gim"), [*SETTINGS, "training.seed=7"]
    )
    stack = build.build_stack(experiment)
    np.savez(folder / "weights.npz", **interop.to_authors(stack))
    np.savez(folder / "few.npz", **{"model.0.0.loss.W_k.0.weight": np.ones(3)})
    return folder


def imports(directory, weights, *more):
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    return [
        *("import-weights", "--experiment", "fashion_mnist_gim"),
        *("--weights", str(weights), "--output-dir", str(directory)),
        *settings,
        *more,
    ]


def test_imported_weights_are_probed_exported_and_given_back(
    folder, tmp_path, capsys
):
    run = tmp_path / "run"
    weights = folder / "weights.npz"
    assert cli.main(imports(run, weights)) == 0
    assert "import them again with --data" in capsys.readouterr().err
    assert cli.main(["export", "--output-dir", str(run)]) == 0
    assert cli.main(imports(run, weights, "--data", str(folder / "data"))) == 0
    assert cli.main(["probe", "--output-dir", str(run)]) == 0
    summary = json.loads((run / "summary.json").read_text())
    (file,) = summary["pretrain"]["imported"]["files"]
    assert file["name"] == "weights.npz"
    for model in (run / "model", run / "probe" / "model"):
        manifest = json.loads((model / "manifest.json").read_text())
        assert manifest["imported"]["files"] == [file]
        assert manifest["data_fingerprint"] == ""
    page = (run / "report.html").read_text()
    assert file["sha256"] in page
    assert "gim import-weights --experiment fashion_mnist_gim" in page
    output = tmp_path / "again.npz"
    assert (
        cli.main(
            [
                "export-weights",
                "--output-dir",
                str(run),
                "--output",
                str(output),
            ]
        )
        == 0
    )
    given, again = np.load(weights), np.load(output)
    assert set(given) == set(again)
    for name in given:
        np.testing.assert_array_equal(given[name], again[name])


def test_a_refused_import_is_one_line_and_leaves_no_run(
    folder, tmp_path, capsys
):
    assert cli.main(imports(tmp_path, folder / "few.npz")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "missing: 'model.0.0.model.Conv1.weight'" in line
    assert cli.main(["export", "--output-dir", str(tmp_path)]) == 2
    assert not (tmp_path / "training").exists()


def test_other_weights_do_not_replace_those_of_a_run(folder, tmp_path, capsys):
    assert cli.main(imports(tmp_path, folder / "weights.npz")) == 0
    others = tmp_path / "others.npz"
    arrays = np.load(folder / "weights.npz")
    np.savez(others, **{name: arrays[name] * 2 for name in arrays})
    assert cli.main(imports(tmp_path, others)) == 2
    assert "checkpoints of other weights" in capsys.readouterr().err
