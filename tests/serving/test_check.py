"""Warm-up requests are exported, and `gim serve-check` finds what is wrong."""

import shutil
import sys

import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from gim_tf import cli
from gim_tf.errors import ExportError
from gim_tf.export import warmup
from gim_tf.export.manifest import verify_manifest, write_manifest
from serving.check import check
from tests.served_models import export_pictures, export_recordings

pytestmark = pytest.mark.integration

EXPECTED = {
    export_pictures: {
        "serving_default": "image_bytes",
        "classify": "image_bytes",
        "classify_examples": "examples",
    },
    export_recordings: {
        "serving_default": "audio_bytes",
        "classify": "audio_bytes",
        "classify_examples": "examples",
        "classify_frames": "audio_bytes",
        "classify_frames_examples": "examples",
    },
}


@pytest.fixture(scope="module", params=EXPECTED)
def exported(request, tmp_path_factory):
    directory = tmp_path_factory.mktemp("export") / "model"
    return request.param(directory), EXPECTED[request.param]


@pytest.fixture
def copy(exported, tmp_path):
    return shutil.copytree(exported[0], tmp_path / "model")


def requests(directory):
    for record in tf.data.TFRecordDataset(str(directory / warmup.ASSET)):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        yield log.predict_log.request


def test_S4_each_signature_of_files_has_a_request_of_each_size(exported):
    directory, expected = exported
    found = {}
    for request in requests(directory):
        ((argument, tensor),) = request.inputs.items()
        name = request.model_spec.signature_name
        assert argument == expected[name]
        found.setdefault(name, []).append(len(tf.make_ndarray(tensor)))
    assert found == {name: [1, 2] for name in expected}
    assert str(warmup.ASSET) in verify_manifest(directory)["files"]


def test_S4_a_good_export_passes_every_check(exported, capsys):
    directory, expected = exported
    assert cli.main(["serve-check", str(directory)]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = ("signatures", "dtypes", "batch", "manifest", "loader", "warm-up")
    for line, name in zip(lines, names, strict=True):
        assert line.startswith(f"ok  {name}")
    assert f"{2 * len(expected)} requests answered" in lines[-1]


def reasoned(directory):
    with pytest.raises(ExportError) as error:
        list(check(directory))
    return str(error.value)


def signed(directory, change):
    """The export again, with another graph, as its manifest has it."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    path = directory / "saved_model.pb"
    model = SavedModel.FromString(path.read_bytes())
    change(model.meta_graphs[0].signature_def)
    path.write_bytes(model.SerializeToString())
    write_manifest(directory, {})


def test_security_the_first_check_that_fails_says_why(copy, capsys):
    weights = next((copy / "variables").glob("*.data*"))
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert cli.main(["serve-check", str(copy)]) == 2
    assert f"{weights} is altered" in capsys.readouterr().err
    weights.write_bytes(content)
    (copy / warmup.ASSET).write_bytes(b"no records at all")
    write_manifest(copy, {})
    assert "Request 1 of" in reasoned(copy)
    (copy / warmup.ASSET).unlink()
    write_manifest(copy, {})
    assert "has no warm-up requests" in reasoned(copy)
    (copy / "saved_model.pb").write_bytes(b"x")
    assert "is no SavedModel" in reasoned(copy)
    assert "No such file" in reasoned(copy / "nothing")


def test_a_signature_that_is_gone_or_of_one_batch_size_is_found(copy):
    def one_size(signatures):
        (tensor,) = signatures["examples"].inputs.values()
        tensor.tensor_shape.dim[0].size = 1

    signed(copy, one_size)
    assert "examples: input 'examples' has shape [1]" in reasoned(copy)
    signed(copy, lambda signatures: signatures.pop("examples"))
    assert "There is no signature 'examples', only" in reasoned(copy)


def test_without_the_messages_of_tf_serving_there_are_no_requests(
    copy, monkeypatch, caplog
):
    (copy / warmup.ASSET).unlink()
    monkeypatch.setitem(sys.modules, "tensorflow_serving.apis", None)
    with caplog.at_level("INFO"):
        warmup.write_warmup(copy, {})
    assert not (copy / warmup.ASSET).exists()
    assert "tensorflow-serving-api is not installed" in caplog.text
