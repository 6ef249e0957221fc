"""What the profiler saw of a step is what the trainer claims of it."""

import pytest
import tensorflow as tf

from gim_tf import config
from gim_tf.bench import timeline
from gim_tf.bench.stepper import Plan
from gim_tf.errors import ConfigError

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def recorded():
    from gim_tf import experiments
    from tests.conftest import TINY

    tiny = config.resolve(experiments.get("fashion_mnist_gim"), TINY)
    return timeline.profile(Plan(experiment=tiny), steps=1, threads=None)


def test_every_module_has_its_passes(recorded):
    found = recorded.as_dict()
    for name in ("module_1", "module_2", "module_3"):
        assert set(found["passes"][name]) == {"forward", "backward", "update"}
        assert min(found["passes"][name].values()) > 0
    total = sum(sum(row.values()) for row in found["passes"].values())
    assert total == pytest.approx(found["busy_ms"])
    assert found["busy_ms"] <= found["wall_ms"] * len(
        {span.thread for span in recorded.spans}
    )


def test_a_module_s_backward_pass_ends_before_the_next_begins(recorded):
    def convolutions(module, passing):
        return [
            span
            for span in recorded.spans
            if span.module == module
            and span.passing == passing
            and "Conv2D" in span.kind
        ]

    for before, after in (("module_1", "module_2"), ("module_2", "module_3")):
        backward = convolutions(before, timeline.BACKWARD)
        forward = convolutions(after, timeline.FORWARD)
        ends = max(span.start + span.seconds for span in backward)
        assert min(span.start for span in forward) >= ends


def test_it_is_drawn(recorded):
    picture = tf.io.decode_png(recorded.picture())
    assert picture.shape[1] == 1536
    assert len({tuple(p) for p in picture.numpy().reshape(-1, 4)}) > 10


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("module_1_1/encoder/conv", ("module_1", "forward")),
        ("gradient_tape/module_1_1/x", ("module_1", "backward")),
        ("module_12_backward/MatMul", (None, "the rest")),
        ("module_1_backward_1/MatMul", ("module_1", "backward")),
        ("module_1_update/module_1_2/Pow", ("module_1", "update")),
        ("global_norm/Sum", (None, "the rest")),
    ],
)
def test_names_tell_module_and_pass(name, part):
    assert timeline._part(name, ("module_1",)) == part


def test_no_step_is_refused(tiny):
    with pytest.raises(ConfigError, match="1 or more"):
        timeline.profile(Plan(experiment=tiny), steps=0)
