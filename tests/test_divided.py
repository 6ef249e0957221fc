"""A trained network cut at other depths: the same layers, more to probe."""

import dataclasses

import numpy as np
import pytest

from gim_tf import build, config, experiments
from gim_tf.errors import ConfigError
from gim_tf.inspection.summary_table import module_rows
from gim_tf.jobs.deciding import deciding
from gim_tf.stack import divided
from tests.conftest import TINY_SEQUENCE


def end_to_end(experiment, *overrides):
    blocks = experiment.stack.encoder.num_blocks
    return config.resolve(
        experiment, [f"stack.module_sizes=[{blocks}]", *overrides]
    )


def test_parts_represent_what_modules_of_that_partition_would(tiny, grid):
    """Weights are a function of the seed, whatever the partition."""
    whole = build.build_stack(end_to_end(tiny))
    modules = build.build_stack(tiny)
    for variable, value in zip(
        [v for m in modules.gim_modules for v in m.encoder.variables],
        whole.gim_modules[0].encoder.variables,
        strict=True,
    ):
        variable.assign(value)
    x, _ = grid
    found = divided(whole, tiny.stack.module_sizes).grids(x)
    wanted = modules.grids(x)
    assert list(found) == ["module_1", "module_2", "module_3"]
    for name in wanted:
        np.testing.assert_allclose(found[name], wanted[name], atol=1e-6)
    np.testing.assert_allclose(
        found["module_3"], whole.grids(x)["module_1"], atol=1e-6
    )


def test_the_context_is_a_part_of_its_own(tiny_sequence, sequence_grid):
    experiment = end_to_end(
        tiny_sequence, "probe.module_sizes=[1, 1, 1, 1, 1, 0]"
    )
    stack = build.build_stack(experiment)
    parts = divided(stack, experiment.probed_sizes)
    grids = parts.grids(sequence_grid)
    assert list(grids) == [f"module_{i}" for i in range(1, 7)]
    assert grids["module_6"].shape[-1] == 5  # the GRU's units
    np.testing.assert_allclose(
        grids["module_6"], stack.grids(sequence_grid)["module_1"], atol=1e-6
    )
    frames = build.build_frames(experiment, parts)(sequence_grid)
    assert len({x.shape[1] for x in frames.values()}) == 1


def test_no_new_weights_and_the_stack_itself_where_nothing_changes(tiny):
    stack = build.build_stack(tiny)
    assert divided(stack, tiny.probed_sizes) is stack
    parts = divided(stack, (1, 1, 1, 1))
    shared = {id(v) for m in stack.gim_modules for v in m.encoding_variables}
    own = [v for m in parts.gim_modules for v in m.encoding_variables]
    assert {id(v) for v in own} == shared


def test_training_does_not_depend_on_it(tiny):
    changed = config.resolve(tiny, ["probe.module_sizes=[1, 1, 1, 1]"])
    assert changed != tiny
    assert deciding(changed) == deciding(tiny)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["probe.module_sizes=[2, 1]"], "sum to the 4 blocks"),
        (["probe.module_sizes=[2, 2, 0]"], "0 blocks only at the end"),
        (["probe.module_sizes=[-1, 5]"], "must be >= 0"),
    ],
)
def test_parts_that_cannot_be(tiny, overrides, message):
    with pytest.raises(ConfigError, match=message):
        config.resolve(tiny, overrides)


def test_an_autoregressor_in_every_module_cannot_be_cut_through():
    experiment = config.resolve(
        experiments.get("librispeech_gim_every_gru"), TINY_SEQUENCE
    )
    with pytest.raises(ConfigError, match="in every module"):
        config.resolve(experiment, ["probe.module_sizes=[2, 2, 1]"])


def test_a_loss_stands_beside_the_part_that_ends_where_its_module_does(tiny):
    divided_in_two = dataclasses.replace(
        tiny, probe=dataclasses.replace(tiny.probe, module_sizes=(1, 1, 1, 1))
    )
    summary = {
        "settings": config.to_dict(divided_in_two),
        "pretrain": {
            "modules": {f"module_{i}": {"loss": float(i)} for i in (1, 2, 3)}
        },
        "probes": {f"module_{i}": {"linear_top1": 0.5} for i in range(1, 5)},
    }
    losses = [row.loss for row in module_rows(summary)]
    # Sizes (2, 1, 1): the stem alone ends no module.
    assert np.isnan(losses[0])
    assert losses[1:] == [1.0, 2.0, 3.0]
