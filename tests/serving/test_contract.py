"""What a server of an exported model promises, over its two interfaces.

The same tests run against `gim serve` and, where there is one on PATH, against
`tensorflow_model_server`: each in a process of its own.
"""

import base64
import contextlib
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

import grpc
import numpy as np
import pytest
import requests
import tensorflow as tf
from google.protobuf import json_format
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from gim_tf import cli
from gim_tf.errors import (
    DeadlineError,
    InvalidRequestError,
    ModelNotFoundError,
    RequestTooLargeError,
    ServingError,
    UnavailableError,
)
from gim_tf.export.saved_model import load_encoder
from pipelines.pusher import push
from serving import load_test
from serving.client import Patience, connect, encode_files
from tests.served_models import (
    export_pictures,
    export_recordings,
    picture,
    recording,
)

pytestmark = pytest.mark.integration

START_SECONDS = 120
OURS = "gim serve"
THEIRS = "tensorflow_model_server"
FILES = {
    "vision": [picture(seed) for seed in range(3)],
    "speech": [recording(length) for length in (3200, 1600, 2345)],
}
INPUTS = {"vision": "image_bytes", "speech": "audio_bytes"}


class Server(NamedTuple):
    """A process that serves one model."""

    kind: str
    model: str
    directory: Path
    rest: str
    grpc: str

    def clients(self, **patience):
        found = [
            connect(url, self.model, patience=Patience(**patience))
            for url in (self.rest, f"grpc://{self.grpc}")
        ]
        return dict(zip(("REST", "gRPC"), found, strict=True))

    def post(self, body, suffix=":predict"):
        url = f"{self.rest}/v1/models/{self.model}{suffix}"
        return requests.post(url, data=body, timeout=30)

    def predict(self, **content):
        url = f"{self.rest}/v1/models/{self.model}:predict"
        return requests.post(url, json=content, timeout=30)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two versions of pictures and one of recordings, not yet pushed."""
    root = tmp_path_factory.mktemp("models")
    return {
        "vision": export_pictures(root / "vision"),
        "speech": export_recordings(root / "speech"),
        "vision 2": export_pictures(root / "vision_2", seed=1),
    }


@pytest.fixture(scope="module", params=[OURS, THEIRS])
def servers(request, models, tmp_path_factory):
    """Both models in one version each, served; by name of the model."""
    binary = shutil.which(THEIRS)
    if request.param == THEIRS and not binary:
        pytest.skip(f"no {THEIRS} on PATH")
    root = tmp_path_factory.mktemp("serving")
    with contextlib.ExitStack() as stack:
        started = []
        for name in ("vision", "speech"):
            push(str(models[name]), str(root / name))
            start = start_ours if request.param == OURS else start_theirs
            process, wait = start(root / name, name)
            stack.callback(stop, process)
            started.append((name, wait))
        yield {name: wait() for name, wait in started}


@pytest.fixture(scope="module")
def vision(servers):
    return servers["vision"]


@pytest.fixture(params=["vision", "speech"])
def served(request, servers):
    return servers[request.param]


def start_ours(directory, name):
    log = directory.with_name(f"{name}.log")
    with log.open("w") as file:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "gim_tf.cli", "serve", directory),
                *("--name", name, "--rest-port", "0", "--grpc-port", "0"),
                *("--poll-seconds", "0.1"),
            ],
            stderr=file,
        )

    def wait():
        pattern = r"(http://[\d.]+:\d+)/v1/models/\S+ and gRPC (\S+)"
        found = until(lambda: re.search(pattern, log.read_text()), process)
        assert log.read_text().startswith("gim serve is for development")
        return Server(OURS, name, directory, found[1], found[2])

    return process, wait


def start_theirs(directory, name):
    ports = [free_port(), free_port()]
    process = subprocess.Popen(
        [
            *(THEIRS, f"--rest_api_port={ports[0]}", f"--port={ports[1]}"),
            *(f"--model_name={name}", f"--model_base_path={directory}"),
        ],
        stderr=subprocess.DEVNULL,
    )
    rest, grpc_ = (f"127.0.0.1:{port}" for port in ports)
    server = Server(THEIRS, name, directory, f"http://{rest}", grpc_)

    def ready():
        with contextlib.suppress(requests.ConnectionError):
            url = f"{server.rest}/v1/models/{name}/metadata"
            return requests.get(url, timeout=5).ok

    return process, lambda: until(ready, process) and server


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as bound:
        return bound.getsockname()[1]


def until(found, process=None, seconds=START_SECONDS):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if result := found():
            return result
        assert process is None or process.poll() is None, "the server ended"
        time.sleep(0.05)
    raise AssertionError("not in time")


def stop(process):
    process.terminate()
    # TF Serving lets the signal end it.
    assert process.wait(30) in (0, -signal.SIGTERM)


def b64(file):
    return {"b64": base64.b64encode(file).decode()}


def contract(signature_defs):
    """(dtype, sizes) of every tensor of every signature; -1: any size."""
    return {
        name: {
            side: {
                key: (info.dtype, [dim.size for dim in info.tensor_shape.dim])
                for key, info in getattr(signature, side).items()
            }
            for side in ("inputs", "outputs")
        }
        for name, signature in signature_defs.items()
        if not name.startswith("__")
    }


def contract_of(signatures):
    """The same of a SavedModel, as TensorFlow has loaded it."""

    def told(specs):
        return {
            key: (
                spec.dtype.as_datatype_enum,
                [-1 if size is None else size for size in spec.shape],
            )
            for key, spec in specs.items()
        }

    return {
        name: {
            "inputs": told(one.structured_input_signature[1]),
            "outputs": told(one.structured_outputs),
        }
        for name, one in signatures.items()
    }


def metadata_by_grpc(served):
    request = get_model_metadata_pb2.GetModelMetadataRequest(
        metadata_field=["signature_def"]
    )
    request.model_spec.name = served.model
    with grpc.insecure_channel(served.grpc) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        answer = stub.GetModelMetadata(request, timeout=30)
    found = get_model_metadata_pb2.SignatureDefMap()
    answer.metadata["signature_def"].Unpack(found)
    return found


def test_S1_status_and_metadata_are_those_of_the_export(
    served, models, injected
):
    clients = served.clients()
    for client in clients.values():
        assert client.versions() == {1: "AVAILABLE"}
    url = f"{served.rest}/v1/models/{served.model}"
    (status,) = requests.get(f"{url}/versions/1", timeout=30).json()[
        "model_version_status"
    ]
    assert status == {
        "version": "1",
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }
    loaded = load_encoder(models[served.model]).signatures
    found = requests.get(f"{url}/versions/1/metadata", timeout=30).json()
    assert found["model_spec"]["version"] == "1"
    by_rest = json_format.ParseDict(
        {"signatureDef": found["metadata"]["signature_def"]["signature_def"]},
        get_model_metadata_pb2.SignatureDefMap(),
    )
    expected = contract_of(loaded)
    for told in (by_rest, metadata_by_grpc(served)):
        assert contract(told.signature_def) == expected
    for signature in expected.values():
        tensors = [
            *signature["inputs"].values(),
            *signature["outputs"].values(),
        ]
        # A batch of any size, and an answer for each of it.
        assert all(sizes[0] == -1 for _, sizes in tensors)
    by_client = [client.signatures() for client in clients.values()]
    assert [set(known) for known in by_client] == [set(expected)] * 2
    injected(
        2 * len(expected),
        [
            (name, side, key)
            for known in by_client
            for name, signature in known.items()
            for side in ("inputs", "outputs")
            for key, (dtype, _) in expected[name][side].items()
            if getattr(signature, side)[key]
            != tf.dtypes.as_dtype(dtype).as_numpy_dtype
        ],
    )


def test_S2_rest_grpc_and_this_process_give_the_same_numbers(served, models):
    files, name = FILES[served.model], INPUTS[served.model]
    loaded = load_encoder(models[served.model]).signatures
    for signature in sorted(loaded):
        if name not in loaded[signature].structured_input_signature[1]:
            continue
        expected = loaded[signature](**{name: tf.constant(files)})
        for client in served.clients().values():
            found = client.predict({name: files}, signature_name=signature)
            assert set(found) == set(expected)
            for key, value in expected.items():
                assert found[key].dtype == value.numpy().dtype
                if value.dtype == tf.float32:
                    np.testing.assert_allclose(found[key], value, atol=1e-5)
                else:
                    np.testing.assert_array_equal(found[key], value)


def test_requests_of_bounded_size_give_what_one_request_gives(served):
    files = FILES[served.model]
    for client in served.clients().values():
        together = client.predict({INPUTS[served.model]: files})
        apart = encode_files(client, files, max_files=2)
        for name, value in together.items():
            np.testing.assert_allclose(apart[name], value, atol=1e-5)


def test_rows_and_columns_and_bare_values(vision):
    one = b64(FILES["vision"][0])
    named = vision.predict(instances=[{"image_bytes": one}])
    bare = vision.predict(instances=[one])
    columns = vision.predict(inputs={"image_bytes": [one]})
    assert named.json() == bare.json()
    (row,) = named.json()["predictions"]
    assert set(row) == {"module_1", "module_2", "module_3"}
    for name, value in row.items():
        assert columns.json()["outputs"][name] == [value]


def test_numbers_are_taken_as_tensors(vision, models):
    images = np.random.default_rng(0).uniform(0, 255, (2, 28, 28, 1))
    images = images.astype(np.float32)
    loaded = load_encoder(models["vision"]).signatures["tensor"]
    expected = loaded(images=tf.constant(images))
    for client in vision.clients().values():
        found = client.predict({"images": images}, signature_name="tensor")
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, atol=1e-5)


def test_only_what_is_wanted_is_answered(vision):
    for client in vision.clients().values():
        found = encode_files(
            client, FILES["vision"], output_filter=["module_2"]
        )
        assert set(found) == {"module_2"}
    with pytest.raises(InvalidRequestError):
        vision.clients()["gRPC"].predict(
            {"image_bytes": FILES["vision"]}, output_filter=["module_9"]
        )


def bad_requests():
    good = b64(FILES["vision"][0])
    tensor = {"signature_name": "tensor"}
    return {
        "no JSON": b"{",
        "neither": {},
        "bad base64": {"instances": [{"image_bytes": {"b64": "!"}}]},
        "no picture": {"instances": [{"image_bytes": b64(b"abc")}]},
        "wrong key": {"instances": [{"picture": good}]},
        "float for bytes": {"instances": [{"image_bytes": 1.5}]},
        "half a character": {"instances": ["\ud800"]},
        "empty": {"instances": []},
        "one bad of many": {"instances": [good, b64(b"abc"), good]},
        "wrong key in one": {"instances": [good, {"x": good}]},
        "signature": {"signature_name": "x", "instances": [good]},
        "wrong shape": {**tensor, "instances": [[[1.0]]]},
        "text for numbers": {**tensor, "instances": [[[["a"]]]]},
        "NaN": {
            **tensor,
            "instances": np.full((1, 28, 28, 1), np.nan).tolist(),
        },
    }


EXPLAINED = {
    "no JSON": "JSON Parse error",
    "bad base64": "base64 decode 'image_bytes'",
    "no picture": "Expected a PNG, or a JPEG",
    "wrong key": "Expected the inputs ['image_bytes'], received ['picture']",
    "float for bytes": "for 'image_bytes', received 1.5",
    "half a character": "Expected text for 'image_bytes'",
    "empty": "at least one example",
    "one bad of many": "Example 2 of 3: Expected a PNG, or a JPEG",
    "wrong key in one": "Example 2 of 2: Expected the inputs",
    "NaN": "Expected finite numbers",
}


@pytest.mark.parametrize("case", bad_requests())
def test_S3_a_bad_request_by_rest_is_a_4xx_that_explains_itself(vision, case):
    content = bad_requests()[case]
    # requests itself refuses NaN, which TF Serving's parser takes.
    answer = vision.post(content if case == "no JSON" else dumps(content))
    assert 400 <= answer.status_code < 500
    assert set(answer.json()) == {"error"}
    if vision.kind == OURS:
        assert EXPLAINED.get(case, "") in answer.json()["error"]
    assert vision.predict(instances=[b64(FILES["vision"][0])]).ok


def dumps(content):
    return json.dumps(content).encode()


@pytest.mark.parametrize(
    ("inputs", "signature_name", "message"),
    [
        ({"image_bytes": [b"abc"]}, "serving_default", "Expected a PNG"),
        ({"picture": [b"abc"]}, "serving_default", "image_bytes"),
        (
            {"image_bytes": np.array([1.5], "f")},
            "serving_default",
            "Expected string for 'image_bytes', received float32",
        ),
        (
            {"image_bytes": np.zeros(0, object)},
            "serving_default",
            "batch is empty",
        ),
        (
            {"images": np.full((1, 28, 28, 1), np.nan, "f")},
            "tensor",
            "Expected finite numbers",
        ),
        (
            {"images": np.zeros((1, 28, 28, 3), "f")},
            "tensor",
            "Expected the shape",
        ),
        ({"image_bytes": [b"abc"]}, "no_such", "no_such"),
    ],
)
def test_S3_a_bad_request_by_grpc_is_typed(
    vision, inputs, signature_name, message
):
    client = vision.clients()["gRPC"]
    with pytest.raises(ServingError) as error:
        client.predict(inputs, signature_name=signature_name)
    if vision.kind == OURS:
        assert isinstance(error.value, InvalidRequestError)
        assert message in str(error.value)
    client.predict({"image_bytes": FILES["vision"]})


def test_S3_one_value_for_millions_is_refused_before_they_are_made(vision):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = vision.model
    request.model_spec.signature_name = "tensor"
    tensor = request.inputs["images"]
    tensor.dtype = tf.float32.as_datatype_enum
    for size in (1, 10**12, 28, 1):
        tensor.tensor_shape.dim.add(size=size)
    tensor.float_val.append(0.5)
    with grpc.insecure_channel(vision.grpc) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        with pytest.raises(grpc.RpcError) as error:
            stub.Predict(request, timeout=60)
    if vision.kind == OURS:
        assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert "its shape 28000000000000 values" in error.value.details()


def test_the_model_s_own_refusals_arrive(servers):
    speech = servers["speech"]
    cases = (b"fLaC1234", recording(10), recording()[:30])
    for client in speech.clients().values():
        for file in cases:
            with pytest.raises(InvalidRequestError):
                client.predict({"audio_bytes": [file]})


def test_other_models_versions_and_paths_are_not_found(vision):
    for url in (vision.rest, f"grpc://{vision.grpc}"):
        for model, version in (("other", None), ("vision", 7)):
            client = connect(url, model, version=version)
            for call in (client.versions, client.signatures):
                with pytest.raises(ModelNotFoundError):
                    call()
        # `gim serve` has no labels, TF Serving none that nobody has given.
        with pytest.raises(ServingError, match="label"):
            connect(url, "vision", label="canary").signatures()
    assert vision.post(b"{}", suffix=":classify").status_code in (400, 404)
    assert vision.post(b"{}", suffix="").status_code in (400, 405)


def test_S3_limits_of_bytes_and_examples_are_ours(vision, injected):
    if vision.kind != OURS:
        pytest.skip("TF Serving takes requests of any size")
    answer = vision.post(bytes(10_000_000))
    assert answer.status_code == 413
    assert "at most 8000000 bytes, received 10000000" in answer.json()["error"]
    answer = vision.predict(instances=[b64(FILES["vision"][0])] * 1000)
    assert answer.status_code == 413
    assert "at most 256 examples, received 1000" in answer.json()["error"]
    client = vision.clients()["gRPC"]
    for files in ([bytes(10_000_000)], FILES["vision"][:1] * 1000):
        with pytest.raises(RequestTooLargeError):
            client.predict({"image_bytes": files})
    answer = vision.predict(instances=[b64(b"")], output_filter=["module_1"])
    assert "REST has no output_filter" in answer.json()["error"]
    injected(5, [])


def test_grpc_names_the_version_and_the_signature_that_answered(vision):
    request = predict_pb2.PredictRequest(output_filter=["module_1"])
    request.model_spec.name = "vision"
    file = tf.make_tensor_proto(FILES["vision"][:1])
    request.inputs["image_bytes"].CopyFrom(file)
    with grpc.insecure_channel(vision.grpc) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        answer = stub.Predict(request, timeout=30)
    assert answer.model_spec.version.value == 1
    assert answer.model_spec.signature_name == "serving_default"


def test_a_deadline_and_a_server_that_is_not_there_are_typed(vision):
    for client in vision.clients(deadline=0.001).values():
        with pytest.raises(DeadlineError):
            client.predict({"image_bytes": FILES["vision"] * 40})
    for scheme in ("http", "grpc"):
        client = connect(
            f"{scheme}://127.0.0.1:{free_port()}",
            "vision",
            patience=Patience(retries=1),
        )
        with pytest.raises(UnavailableError):
            client.signatures()


def test_S7_the_load_test_prints_a_row_a_concurrency(
    served, tmp_path, capsys, injected
):
    file = tmp_path / "file"
    file.write_bytes(FILES[served.model][0])
    sent, errors = 0, []
    for url in (served.rest, f"grpc://{served.grpc}"):
        done = load_test.main(
            [
                *("--url", url, "--model", served.model, "--file", str(file)),
                *("--concurrency", "1", "2", "--seconds", "0.3"),
            ]
        )
        assert done == 0
        header, *lines = capsys.readouterr().out.splitlines()
        names = re.split(r"\s{2,}", header)
        assert names[:3] == ["concurrency", "requests", "errors"]
        assert names[3:] == ["p50 ms", "p95 ms", "p99 ms", "requests/s"]
        rows = [
            dict(zip(names, map(float, line.split()), strict=True))
            for line in lines
        ]
        assert [row["concurrency"] for row in rows] == [1, 2]
        for row in rows:
            assert 0 < row["p50 ms"] <= row["p95 ms"] <= row["p99 ms"]
            assert row["requests/s"] > 0
            sent += int(row["requests"])
            errors += [row] * int(row["errors"])
    injected(sent, errors)


# The last: it moves versions.
def test_S5_no_request_fails_while_versions_come_and_go(
    vision, models, injected
):
    answers, errors, ended = [], [], threading.Event()

    def ask(client):
        while not ended.is_set():
            try:
                asked = time.monotonic()
                found = client.predict({"image_bytes": FILES["vision"][:1]})
                answers.append((asked, float(found["module_3"][0, 0])))
            except ServingError as error:
                errors.append(error)

    clients = vision.clients(retries=0)
    threads = [
        threading.Thread(target=ask, args=(client,))
        for client in clients.values()
    ]
    for thread in threads:
        thread.start()
    try:
        push(str(models["vision 2"]), str(vision.directory))
        assert until(lambda: available(clients["REST"]) == [2])
        seen(answers)
        # Out of sight at once: a server may look at any time.
        (vision.directory / "2").rename(vision.directory / ".removed")
        assert until(lambda: available(clients["gRPC"]) == [1])
        back = time.monotonic()
        seen(answers)
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    injected(2, errors)
    expected = [
        float(
            load_encoder(models[name])
            .signatures["serving_default"](
                image_bytes=tf.constant(FILES["vision"][:1])
            )["module_3"]
            .numpy()[0, 0]
        )
        for name in ("vision", "vision 2")
    ]
    which = [
        int(np.argmin([abs(x - e) for e in expected])) + 1 for _, x in answers
    ]
    for (_, x), version in zip(answers, which, strict=True):
        assert x == pytest.approx(expected[version - 1], abs=1e-5)
    assert (which[0], set(which)) == (1, {1, 2})
    # Of two clients one may still have a slow answer of before on its way.
    after = {v for (t, _), v in zip(answers, which, strict=True) if t > back}
    assert after == {1}


def available(client):
    return [v for v, state in client.versions().items() if state == "AVAILABLE"]


def seen(answers, more=10):
    """Waits for some more answers."""
    count = len(answers)
    assert until(lambda: len(answers) > count + more)


@pytest.mark.parametrize("port", ["--rest-port", "--grpc-port"])
def test_a_start_that_cannot_be_is_one_line(port, models, tmp_path, capsys):
    arguments = ["serve", str(tmp_path), "--name", "gim"]
    assert cli.main(arguments) == 2
    assert "holds no version" in capsys.readouterr().err
    shutil.copytree(models["vision"], tmp_path / "1")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = str(taken.getsockname()[1])
        other = {"--rest-port", "--grpc-port"} - {port}
        more = [port, number, other.pop(), "0"]
        assert cli.main([*arguments, *more]) == 2
    assert f"Port {number} of 127.0.0.1 cannot" in capsys.readouterr().err
