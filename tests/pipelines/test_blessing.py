"""The quality gate as a function of probe results; imports no TFX."""

import pytest

from pipelines.blessing import judge


def probes(last, untrained):
    modules = {
        f"module_{index}": {"linear_top1": 0.0, "untrained_linear_top1": 1.0}
        for index in range(1, 10)
    }
    modules["module_10"] = {
        "linear_top1": last,
        "untrained_linear_top1": untrained,
    }
    return {
        "tasks": {"phone": {"modules": modules}, "speaker": {"modules": {}}}
    }


@pytest.mark.parametrize(
    ("last", "untrained", "baseline", "blessed"),
    [
        (0.80, 0.70, None, True),
        (0.74, 0.70, None, False),
        (0.80, 0.70, 0.81, True),
        (0.80, 0.70, 0.83, False),
        (0.74, 0.70, 0.10, False),
    ],
)
def test_both_conditions_decide(last, untrained, baseline, blessed):
    verdict = judge(
        probes(last, untrained),
        margin=0.05,
        tolerance=0.02,
        baseline=baseline,
    )
    assert verdict.blessed is blessed
    assert verdict.score == last
    assert "phone, module_10" in verdict.reasons[0]
    assert len(verdict.reasons) == (1 if baseline is None else 2)
    assert blessed == all(r.startswith("passed") for r in verdict.reasons)
