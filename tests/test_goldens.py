"""Our stack against arrays that the authors' implementation computed.

The small set in tests/goldens always; the full one beside the project where
it is there, by `make golden-test`.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from gim_tf import cli
from gim_tf.errors import GoldenError
from gim_tf.fidelity import check_case, check_directory
from gim_tf.fidelity.cases import read_cases
from gim_tf.fidelity.comparisons import compare
from gim_tf.fidelity.measured import measure
from gim_tf.fidelity.replay import Replay

pytestmark = pytest.mark.goldens

SMALL = Path(__file__).parent / "goldens"
FULL = Path(__file__).parents[2] / "shared" / "goldens"
FEWEST = {"output", "loss", "gradient", "parameters"}


def names(directory):
    if not (directory / "manifest.json").exists():
        return []
    return [case.name for case in read_cases(directory)]


def case(directory, name):
    return next(c for c in read_cases(directory) if c.name == name)


def changed(tmp_path, name, change):
    """A copy of the small set's case, with one of its arrays changed."""
    manifest = json.loads((SMALL / "manifest.json").read_text())
    file = manifest["cases"][name]["file"]
    with np.load(SMALL / file) as stored:
        arrays = dict(stored)
    change(arrays)
    np.savez(tmp_path / file, **arrays)
    manifest["cases"] = {name: manifest["cases"][name]}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path


@pytest.mark.parametrize("name", names(SMALL))
def test_the_small_set_is_met(name):
    result = check_case(case(SMALL, name))
    assert result.passed, result
    assert set(result.by_quantity()) >= FEWEST
    # Tiny networks need no excuse by the noise of float32.
    assert all(c.allowed == 1.0 for c in result.comparisons)


# Minutes in all, and nothing that others of these do not have.
SLOW = {"vision_full_r50_cpc", "vision_full_r34_cpc", "vision_full_r34_gim"}


@pytest.mark.skipif(not names(FULL), reason="no full set in ../shared/goldens")
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else [])
        for name in names(FULL)
    ],
)
def test_the_full_set_is_met(name):
    result = check_case(case(FULL, name))
    assert result.passed, result
    assert set(result.by_quantity()) >= FEWEST | {"after 3 steps"}


CPC = "audio_tiny_splits1"


@pytest.fixture(scope="module")
def measured():
    return {one.name: one for one in measure(Replay(case(SMALL, CPC)))}


@pytest.mark.parametrize(
    ("name", "factor"),
    [
        ("loss/step0", 1.0001),
        ("out/module0/c", 1.001),
        ("out_csum/module0/z", 1.001),
        ("grad/fullmodel.0.loss.predictor.weight", 1.01),
        ("grad_csum/fullmodel.0.autoregressor.gru.weight_hh_l0", 1.01),
        ("nparam", 2),
    ],
)
def test_a_golden_that_is_off_is_not_met(measured, name, factor):
    one = measured[name]
    assert compare(*one).passed
    assert not compare(*one._replace(golden=one.golden * factor)).passed
    assert not compare(*one._replace(ours=one.ours * np.nan)).passed
    assert not compare(*one._replace(golden=one.golden * np.nan)).passed
    empty = np.zeros((0,))
    assert not compare(*one._replace(ours=empty, golden=empty)).passed


def test_a_trained_replay_restarts_as_a_new_one():
    trained, new = Replay(case(SMALL, CPC)), Replay(case(SMALL, CPC))
    before, first = new.weights(), list(trained.train())
    for replay in (trained, new):
        replay.restart(noise=1)
    shaken = new.weights()
    assert any(np.any(before[name] != shaken[name]) for name in before)
    losses = [list(replay.train()) for replay in (trained, new)]
    np.testing.assert_array_equal(*losses)
    np.testing.assert_allclose(losses[0], first, rtol=1e-4)
    for name, one in trained.weights().items():
        np.testing.assert_array_equal(one, new.weights()[name])


def test_another_order_of_the_negatives_is_not_met(tmp_path):
    def change(arrays):
        one, other = "rand/step0/module0/perm1", "rand/step0/module0/perm2"
        arrays[one] = np.roll(arrays[other], 1)

    (other,) = read_cases(changed(tmp_path, CPC, change))
    compared = [compare(*one) for one in measure(Replay(other))]
    failed = {one.quantity for one in compared if not one.passed}
    assert "loss" in failed
    assert "output" not in failed


def test_a_case_that_lacks_arrays_is_not_met(tmp_path):
    def change(arrays):
        for name in [n for n in arrays if n.startswith("grad/")]:
            del arrays[name]

    (result,) = check_directory(changed(tmp_path, CPC, change))
    assert "grad/" in result.error
    assert not result.passed


def test_arrays_of_another_kind_are_not_met(tmp_path):
    def change(arrays):
        arrays["out/module0/c"] = np.float32(0)

    (result,) = check_directory(changed(tmp_path, CPC, change))
    assert result.error
    assert not result.passed


def test_the_command_names_what_is_not_met(tmp_path, capsys):
    def change(arrays):
        arrays["loss/step0"] = arrays["loss/step0"] + 1

    directory = changed(tmp_path, CPC, change)
    arguments = ["golden-check", "--goldens", str(directory), "--json"]
    assert cli.main(arguments) == 1
    said = capsys.readouterr()
    assert f"1 of 1 cases are not met: {CPC}" in said.err
    last = json.loads(said.out.splitlines()[-1])
    assert last["cases"] == 1
    assert last["failed"] == [CPC]
    assert last["worst"]["loss"]["array"] == "loss/step0"


def test_a_directory_without_a_manifest_is_refused(tmp_path):
    with pytest.raises(GoldenError, match="is no manifest"):
        check_directory(tmp_path)
    (tmp_path / "manifest.json").write_text('{"seed": 1, "cases": {}}')
    with pytest.raises(GoldenError, match="names no case"):
        check_directory(tmp_path)
    shutil.copy(SMALL / "manifest.json", tmp_path)
    results = check_directory(tmp_path)
    assert all("cannot be read" in result.error for result in results)
