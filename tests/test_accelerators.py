"""Memory of GPUs: taken as it is needed, wherever they are used first."""

import pytest
import tensorflow as tf

from gim_tf import config, jobs
from gim_tf.accelerators import grow_gpu_memory
from gim_tf.bench import machine
from gim_tf.errors import DataError
from gim_tf.export.saved_model import load_encoder
from serving.served_model import ServedModel
from tests.saved_models import write_untrained

pytestmark = pytest.mark.integration


@pytest.fixture
def asked(monkeypatch):
    """Two GPUs as TensorFlow would list them; here there are none."""
    asked = []
    assert grow_gpu_memory() == len(tf.config.list_physical_devices("GPU"))
    monkeypatch.setattr(
        tf.config,
        "list_physical_devices",
        lambda kind: [f"{kind}:{i}" for i in (0, 1)],
    )
    monkeypatch.setattr(
        tf.config.experimental,
        "set_memory_growth",
        lambda gpu, grows: asked.append((gpu, grows)),
    )
    return asked


def test_memory_of_every_gpu_grows(asked):
    assert grow_gpu_memory() == 2
    assert asked == [("GPU:0", True), ("GPU:1", True)]


def test_and_wherever_something_is_loaded_or_measured(tiny, asked, tmp_path):
    write_untrained(tiny, tmp_path / "model")
    nowhere = config.resolve(
        tiny, ["data.source=folder", f"data.path={str(tmp_path / 'none')!r}"]
    )

    def ingest():
        with pytest.raises(DataError):
            jobs.ingest(nowhere, tmp_path / "records")

    for use in (
        ingest,
        lambda: load_encoder(tmp_path / "model"),
        lambda: ServedModel(tmp_path / "model"),
        lambda: machine.set_threads(None),
    ):
        asked.clear()
        use()
        assert asked == [("GPU:0", True), ("GPU:1", True)]


def test_where_a_gpu_is_in_use_it_stays_as_it_is(monkeypatch):
    def started(gpu, grows):
        raise RuntimeError("Physical devices cannot be modified")

    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["g"])
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", started)
    assert grow_gpu_memory() == 0
