"""Growing a network: what is stacked, what stays frozen, when it ends."""

import json
import shutil

import numpy as np
import pytest

from gim_tf import build, cli, config, experiments
from gim_tf.config.depth import at_depth, first_depth
from gim_tf.errors import CheckpointError, ConfigError
from gim_tf.inspection import growth
from gim_tf.jobs import growing
from gim_tf.jobs.exporting import restored
from gim_tf.jobs.growing import Limits, grow
from gim_tf.jobs.growing_scores import deciding_rows
from tests.conftest import TINY, TINY_SEQUENCE

ALWAYS = Limits(tolerance=-1.0, max_modules=3)


def test_a_residual_network_loses_and_gains_blocks_at_its_end():
    whole = experiments.get("stl10_gim")
    encoders = {d: at_depth(whole, d).stack.encoder for d in (1, 2, 3, 5)}
    assert [e.planes for e in encoders.values()] == [
        (64,),
        (64, 128),
        (64, 128, 256),
        (64, 128, 256),
    ]
    assert [e.depths for e in encoders.values()] == [
        (3,),
        (3, 4),
        (3, 4, 6),
        (3, 4, 8),
    ]
    assert at_depth(whole, 5).stack.module_sizes == (4, 4, 6, 1, 1)
    assert at_depth(whole, 3) == whole


def test_convolutions_along_time_go_on_without_stride():
    whole = config.resolve(
        experiments.get("librispeech_gim_no_gru"), TINY_SEQUENCE[:1]
    )
    assert whole.stack.num_modules == 5
    more = at_depth(whole, 7).stack.encoder
    assert more.channels == (6,) * 7
    assert more.kernel_sizes == (10, 8, 4, 4, 4, 3, 3)
    assert more.hop(7) == whole.stack.encoder.hop(5)
    assert more.time_steps(20_480, 7) == whole.stack.encoder.time_steps(
        20_480, 5
    )


def test_a_context_network_at_the_end_comes_last_and_ends_growing():
    whole = experiments.get("librispeech_gim")
    # A frame every 10 ms, for labels of frames, is made by the fifth.
    assert first_depth(whole) == 5
    speaker = config.resolve(whole, ["probe.tasks=['speaker']"])
    assert first_depth(speaker) == 1
    assert at_depth(whole, 5).stack.autoregressor is None
    assert at_depth(whole, 6) == whole
    with pytest.raises(ConfigError, match="autoregressor_at='every'"):
        at_depth(whole, 7)
    every = at_depth(experiments.get("librispeech_gim_every_gru"), 5)
    assert every.stack.autoregressor is not None


def test_a_module_starts_alike_at_every_depth(tiny):
    """Its first weights depend on its place, not on what comes behind it."""
    two, three = (build.build_stack(at_depth(tiny, d)) for d in (2, 3))
    for a, b in zip(two.gim_modules, three.gim_modules, strict=False):
        for x, y in zip(a.variables, b.variables, strict=True):
            np.testing.assert_array_equal(x.numpy(), y.numpy())


def test_gains_are_over_the_best_before_and_shallow_is_preferred():
    assert growth.gain([0.5]) is None
    assert growth.gain([0.5, 0.7, 0.6]) == pytest.approx(-0.1)
    assert growth.gain([0.5, 0.7, 0.6, 0.75]) == pytest.approx(0.05)
    assert growth.best([0.5, 0.7, 0.701], 0.002) == 1
    assert growth.best([0.5, 0.7, 0.703], 0.002) == 2
    assert growth.best([0.5, 0.7, 0.7], 0.0) == 1
    assert growth.best([0.7, 0.5], -1.0) == 0


def test_rows_of_a_recording_decide_together():
    groups = np.repeat(np.arange(10), 7)
    decides = deciding_rows(groups, 3)
    assert decides.sum() == 14
    assert len(np.unique(groups[decides])) == 2
    assert not np.array_equal(decides, deciding_rows(groups, 4))
    assert deciding_rows(np.zeros(4), 0).all()


@pytest.mark.parametrize("kind", ["supervised", "predsim"])
def test_labels_that_train_cannot_decide(kind, tmp_path):
    supervised = config.resolve(
        experiments.get("fashion_mnist_gim"),
        [f"stack.objective.kind={kind}"],
    )
    with pytest.raises(ConfigError, match="supervised"):
        grow(supervised, tmp_path, limits=Limits())


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of 100 pictures whose brightness tells their class."""
    from tests.conftest import png

    folder = tmp_path_factory.mktemp("pictures")
    names = experiments.get("fashion_mnist_gim").data.class_names
    generator = np.random.default_rng(0)
    for index in range(100):
        label = index % 10
        pixels = generator.integers(20 * label, 20 * label + 60, (28, 28, 1))
        path = folder / names[label] / f"{index}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(png(pixels.astype(np.uint8)))
    return folder


def settings(pictures, *more):
    return [
        *TINY,
        "training.num_steps=4",
        "training.heldout_examples=8",
        "data.source=folder",
        "data.holdout=0.2",
        "view.pad_to=32",
        f"data.path={str(pictures)!r}",
        *more,
    ]


@pytest.fixture(scope="module")
def grown(pictures, tmp_path_factory):
    """Three depths, grown once for the whole file."""
    experiment = config.resolve(
        experiments.get("fashion_mnist_gim"), settings(pictures)
    )
    directory = tmp_path_factory.mktemp("grown")
    return experiment, directory, grow(experiment, directory, limits=ALWAYS)


def variables(directory, depth):
    """Modules' variables as the depth's run left them."""
    experiment = config.from_dict(
        json.loads((directory / f"depth_{depth}/experiment.json").read_text())
    )
    stack, _ = restored(experiment, directory / f"depth_{depth}/training")
    return [[v.numpy() for v in m.variables] for m in stack.gim_modules]


@pytest.mark.integration
def test_a_depth_leaves_those_below_as_they_were(grown):
    _, directory, _ = grown
    shallow = variables(directory, 1)
    for depth in (2, 3):
        deep = variables(directory, depth)
        assert len(deep) == depth
        for before, after in zip(shallow, deep, strict=False):
            for a, b in zip(before, after, strict=True):
                np.testing.assert_array_equal(a, b)
        shallow = deep


@pytest.mark.integration
def test_the_record_tells_of_every_depth(grown):
    _, directory, found = grown
    assert found == json.loads((directory / "growth.json").read_text())
    assert [row["depth"] for row in found["depths"]] == [1, 2, 3]
    assert found["finished"]
    assert [row["decision"] for row in found["depths"]] == [
        growth.GROW,
        growth.GROW,
        growth.LIMIT,
    ]
    for row in found["depths"]:
        assert np.isfinite([row["loss"], row["heldout_loss"]]).all()
        assert row["seconds"] > 0
        assert row["steps"] == 4
    sizes = [row["parameters"] for row in found["depths"]]
    assert sizes == sorted(set(sizes))
    stack = build.build_stack(grown[0])
    assert found["depths"][-1]["trained_parameters"] == sum(
        v.numpy().size for v in stack.gim_modules[-1].trainable_variables
    )
    text = (directory / "growth.md").read_text()
    assert text.count("\n| ") == 4
    assert "(best)" in text
    assert (directory / "growth.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.integration
def test_what_was_killed_goes_on_to_the_same_end(grown, tmp_path):
    experiment, directory, found = grown
    copy = tmp_path / "grown"
    shutil.copytree(directory, copy, symlinks=True)
    shutil.rmtree(copy / "depth_3")
    (copy / "growth.json").unlink()
    # The second had a checkpoint in the middle, and was not probed.
    for name in ("depth.json", "experiment.json", "training/pretrain.json"):
        (copy / "depth_2" / name).unlink()
    for path in (copy / "depth_2/training").glob("ckpt-4*"):
        path.unlink()
    again = grow(experiment, copy, limits=ALWAYS)
    for depth in (1, 2, 3):
        for a, b in zip(
            variables(directory, depth), variables(copy, depth), strict=True
        ):
            for x, y in zip(a, b, strict=True):
                np.testing.assert_array_equal(x, y)
    for before, after in zip(found["depths"], again["depths"], strict=True):
        differing = {k for k in before if before[k] != after[k]}
        assert differing <= {"seconds"}


@pytest.mark.integration
def test_other_limits_use_what_is_there_and_other_settings_do_not(
    grown, tmp_path, monkeypatch
):
    experiment, directory, _ = grown
    copy = tmp_path / "grown"
    shutil.copytree(directory, copy, symlinks=True)
    monkeypatch.setattr(growing, "export", None)  # nothing is probed again
    stopped = grow(experiment, copy, limits=Limits(tolerance=1.1))
    assert [row["decision"] for row in stopped["depths"]] == [
        growth.GROW,
        growth.SATURATED,
    ]
    assert stopped["best_depth"] == 1
    changed = config.resolve(experiment, ["training.learning_rate=0.5"])
    with pytest.raises(CheckpointError, match=r"training\.learning_rate"):
        grow(changed, copy, limits=ALWAYS)


@pytest.mark.slow
@pytest.mark.integration
def test_the_command_grows_on_a_run_and_its_depths_are_runs(
    grown, pictures, tmp_path, capsys
):
    _, directory, _ = grown
    words = [w for s in settings(pictures) for w in ("--set", s)]
    arguments = ["--experiment", "fashion_mnist_gim", *words]
    out = tmp_path / "more"
    assert (
        cli.main(
            [
                *("grow", *arguments, "--output-dir", str(out)),
                *("--from", str(directory / "depth_2"), "--max-modules", "3"),
                *("--tolerance", "-1"),
            ]
        )
        == 0
    )
    printed = capsys.readouterr().out
    assert "is best" in printed
    assert sorted(p.name for p in out.glob("depth_*")) == ["depth_2", "depth_3"]
    for a, b in zip(variables(directory, 2), variables(out, 2), strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)
    last = str(out / "depth_3")
    assert cli.main(["probe", "--output-dir", last]) == 0
    summary = json.loads((out / "depth_3" / "summary.json").read_text())
    assert list(summary["probes"]) == ["module_1", "module_2", "module_3"]
    wide = ["--set", "stack.encoder.planes=[4, 7, 8]"]
    wrong = ["grow", *arguments, *wide, "--from", str(directory / "depth_2")]
    wrong = [*wrong, "--output-dir", str(tmp_path / "wrong")]
    assert cli.main(wrong) == 2
    assert "stack.encoder.planes differs" in capsys.readouterr().err
