"""Runs of earlier versions go on; other settings are refused."""

import pytest

from gim_tf import config
from gim_tf.errors import CheckpointError
from gim_tf.jobs import opening
from gim_tf.jobs.deciding import deciding, renewed
from gim_tf.training.run_directory import RunDirectory

_ORIGIN = {"data_fingerprint": "0" * 64}


def _earlier(experiment):
    """What was recorded before these two settings existed."""
    recorded = {**deciding(experiment), **_ORIGIN}
    del recorded["training"]["precision"]
    del recorded["probe"]["module_sizes"]
    return recorded


def test_a_setting_that_is_new_since_is_no_difference(tiny, tmp_path):
    run = RunDirectory(tmp_path)
    run.write_json("config.json", _earlier(tiny))
    opening.bind(run, tiny, _ORIGIN)


@pytest.mark.parametrize(
    "override", ["training.precision=mixed_bfloat16", "training.seed=3"]
)
def test_unless_it_is_used(tiny, tmp_path, override):
    run = RunDirectory(tmp_path)
    run.write_json("config.json", _earlier(tiny))
    with pytest.raises(CheckpointError, match=override.partition("=")[0]):
        opening.bind(run, config.resolve(tiny, [override]), _ORIGIN)


def test_what_stands_beside_it_stays_and_what_is_no_record_too(tiny):
    recorded = {**deciding(tiny), **_ORIGIN, "replicas": 2}
    assert renewed(recorded) == recorded
    assert renewed({"stack": 3, "a": 1}) == {"stack": 3, "a": 1}
