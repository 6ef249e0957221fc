"""RecordGen's writer: a failed or repeated attempt leaves nothing behind."""

import pytest

from gim_tf.config import DataConfig
from gim_tf.data.records import Record, count_records
from gim_tf.errors import DataError

pytestmark = pytest.mark.pipeline


class Reader:
    data = DataConfig(source="made")

    def __init__(self, broken=False):
        self.broken = broken

    def read(self, item):
        yield Record("a", 0, "train", b"first")
        if self.broken:
            raise DataError("The second is damaged.")
        yield Record("b", 1, "train", b"second")


def process(folder, broken=False):
    from pipelines.ingest import Shard, WriteShards

    writer = WriteShards(Reader(broken), str(folder))
    return writer.process(Shard("data_tfrecord-0.gz", "train", "piece"))


def test_a_failed_attempt_leaves_nothing(tmp_path):
    with pytest.raises(DataError):
        list(process(tmp_path, broken=True))
    assert list(tmp_path.iterdir()) == []


def test_two_attempts_at_once_leave_one_whole_shard(tmp_path):
    both = list(zip(process(tmp_path), process(tmp_path), strict=True))
    assert both[:2] == [("a", "a"), ("b", "b")]
    assert [heard.value for heard in both[2]] == [(0, 0, 0)] * 2
    (file,) = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert file == tmp_path / "Split-train" / "data_tfrecord-0.gz"
    assert count_records([str(file)]) == 2
