"""The data gate on made findings; the pipeline tests feed it real ones."""

import dataclasses

import pytest

from gim_tf.data.records import Rejected
from gim_tf.errors import DataError

pytestmark = pytest.mark.pipeline

EACH = dict.fromkeys(range(10), 3)


def findings(**changes):
    from pipelines.gate import Findings

    sound = Findings(
        labels={"train": EACH, "test": EACH},
        anomalies={"train": [], "test": []},
        rejected=[],
        num_rejected=0,
        duplicates=[],
        listing="rejected",
    )
    return sound._replace(**changes)


def test_sound_records_pass(tiny):
    from pipelines import gate

    gate.check(tiny.data, findings())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": {"train": {}, "test": EACH}}, "'train' has 0 examples"),
        ({"labels": {"train": {0: 5}, "test": EACH}}, "no example of 9 class"),
        (
            {"labels": {"train": EACH | {-1: 2}, "test": EACH}},
            "2 example.s. with label -1",
        ),
        ({"labels": {"train": EACH, "test": {10: 1}}}, "label 10"),
        ({"duplicates": ["a", "b"]}, "repeated ones: a, b"),
        (
            {"num_rejected": 1, "rejected": [Rejected("x.png", "truncated")]},
            "x.png: truncated",
        ),
        (
            {"anomalies": {"train": ["feature 'id': gone."], "test": []}},
            "feature 'id': gone.",
        ),
    ],
)
def test_each_fault_stops(tiny, changes, message):
    from pipelines import gate

    with pytest.raises(DataError, match=message) as caught:
        gate.check(tiny.data, findings(**changes))
    assert "\n" not in str(caught.value)


def test_labels_may_be_missing_where_no_probe_reads(tiny):
    from pipelines import gate

    data = dataclasses.replace(tiny.data, pretrain_split="unlabelled")
    labels = {"unlabelled": {-1: 9}, "train": EACH, "test": EACH}
    anomalies = dict.fromkeys(labels, ())
    gate.check(data, findings(labels=labels, anomalies=anomalies))
