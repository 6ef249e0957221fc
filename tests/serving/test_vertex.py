"""An endpoint of Vertex AI: the calls that make it, and its client.

No cloud is asked: the calls are compared with the signatures of
google-cloud-aiplatform, and the client talks to `gim serve`'s REST interface
under an endpoint's address.
"""

import inspect
import json
import threading
from wsgiref.simple_server import WSGIRequestHandler, make_server

import numpy as np
import pytest
import requests
import tensorflow as tf

from gim_tf import cli
from gim_tf.errors import (
    CloudError,
    ConfigError,
    ExportError,
    InvalidRequestError,
    RequestTooLargeError,
)
from serving import vertex_client, vertex_deploy
from serving.calls import Patience
from serving.client import connect, encode_files
from serving.local_server.repository import ModelRepository
from serving.local_server.rest import RestApi
from tests.served_models import export_pictures, picture

pytestmark = pytest.mark.integration

ENDPOINT = "projects/my-project/locations/europe-west4/endpoints/123"
WANTED = vertex_deploy.Deployment(
    directory="gs://my-bucket/gim/serving/fashion_mnist_gim",
    name="gim",
    project="my-project",
    region="europe-west4",
    image="registry.example/tensorflow-serving:2.16.1",
)


@pytest.fixture(scope="module")
def versions(tmp_path_factory):
    """A directory of one version, an untrained encoder with heads."""
    folder = tmp_path_factory.mktemp("serving") / "gim"
    folder.mkdir()
    export_pictures(tmp_path_factory.mktemp("made") / "model").rename(
        folder / "1"
    )
    return folder


class _Quiet(WSGIRequestHandler):
    def log_message(self, *ignored):
        pass


@pytest.fixture(scope="module")
def endpoint(versions):
    """The address of a stand-in: rawPredict hands the body on, as Vertex."""
    repository = ModelRepository("gim", versions)
    repository.poll()
    api = RestApi(repository, max_body=10**8, max_batch=64)
    received = []

    def application(environ, start_response):
        assert environ["PATH_INFO"] == f"/v1/{ENDPOINT}:rawPredict"
        received.append(int(environ["CONTENT_LENGTH"]))
        environ["PATH_INFO"] = "/v1/models/gim:predict"
        return api(environ, start_response)

    with make_server(
        "127.0.0.1", 0, application, handler_class=_Quiet
    ) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", received
        server.shutdown()
        thread.join()
    repository.close()


@pytest.fixture
def client(endpoint, versions):
    return vertex_client.VertexClient(
        ENDPOINT,
        versions / "1",
        patience=Patience(deadline=30.0, retries=0),
        host=endpoint[0],
        session=requests.Session(),
    )


def test_it_answers_what_the_model_computes(client, versions):
    from gim_tf.export.saved_model import load_encoder

    file = picture()
    answer = client.predict({"image_bytes": [file]})
    signature = load_encoder(versions / "1").signatures["serving_default"]
    expected = signature(image_bytes=tf.constant([file]))
    assert set(answer) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(answer[name], value, atol=1e-5)
    chosen = client.predict({"image_bytes": [file]}, output_filter=["module_3"])
    assert set(chosen) == {"module_3"}


def test_a_request_above_the_limit_is_refused_before_it_is_sent(
    client, endpoint
):
    sent = len(endpoint[1])
    with pytest.raises(RequestTooLargeError, match=r"1,500,000") as caught:
        client.predict({"image_bytes": [bytes(1_200_000)]})
    assert "Send fewer or smaller files" in str(caught.value)
    assert len(endpoint[1]) == sent
    # Below it, the endpoint is asked, and says what is wrong with the file.
    with pytest.raises(InvalidRequestError):
        client.predict({"image_bytes": [bytes(1_000_000)]})
    assert len(endpoint[1]) == sent + 1


def test_many_files_go_in_requests_below_the_limit(client, endpoint):
    sent = len(endpoint[1])
    # A PNG may have anything behind its end.
    files = [picture(i) + bytes(400_000) for i in range(5)]
    answer = encode_files(client, files, output_filter=["module_1"])
    assert len(answer["module_1"]) == 5
    sizes = endpoint[1][sent:]
    assert len(sizes) == 3
    assert max(sizes) <= vertex_client.REQUEST_BYTES
    with pytest.raises(RequestTooLargeError, match="File 1 has"):
        encode_files(client, [bytes(1_200_000)])


def test_what_is_no_endpoint_or_no_export_is_refused(versions, tmp_path):
    with pytest.raises(ConfigError, match="An endpoint must be like"):
        connect("vertex://endpoints/123", str(versions / "1"))
    with pytest.raises(ExportError, match="folder of the export"):
        connect(f"vertex://{ENDPOINT}", str(tmp_path))


def test_every_argument_is_one_of_the_library_s():
    from google.cloud import aiplatform

    functions = {
        "init": aiplatform.init,
        "Model.upload": aiplatform.Model.upload,
        "Endpoint": aiplatform.Endpoint,
        "Endpoint.create": aiplatform.Endpoint.create,
        "Endpoint.deploy": aiplatform.Endpoint.deploy,
    }
    full = WANTED._replace(
        service_account="a@b.iam.gserviceaccount.com", staging="gs://other"
    )
    seen = set()
    for wanted in (full, full._replace(endpoint="123")):
        for call in vertex_deploy.calls(wanted):
            known = inspect.signature(functions[call.function]).parameters
            assert set(call.arguments) <= set(known), call.function
            seen.add(call.function)
    assert seen == set(functions)


def deploy(directory, *more):
    given = WANTED._replace(directory=str(directory))
    options = [
        word
        for name in ("name", "project", "region", "image")
        for word in (f"--{name}", getattr(given, name))
    ]
    return cli.main(["deploy", given.directory, *options, *more])


def test_a_dry_run_shows_the_calls(capsys):
    assert deploy(WANTED.directory, "--dry-run", "--max-replicas", "3") == 0
    lines = capsys.readouterr().out.splitlines()
    called = [x for x in lines if x.startswith("aiplatform.")]
    assert [x.removeprefix("aiplatform.") for x in called] == [
        "init",
        "Model.upload",
        "Endpoint.create",
        "Endpoint.deploy",
    ]
    shown = dict(x.strip().split(" = ") for x in lines if " = " in x)
    assert json.loads(shown["artifact_uri"]) == WANTED.directory
    arguments = json.loads(shown["serving_container_args"])
    assert "--model_base_path=$(AIP_STORAGE_URI)" in arguments
    route = json.loads(shown["serving_container_predict_route"])
    assert route == "/v1/models/gim:predict"
    assert shown["max_replica_count"] == "3"


def test_a_local_directory_is_checked_and_needs_a_bucket(
    capsys, versions, tmp_path
):
    assert deploy(versions, "--dry-run") == 2
    assert "--staging-bucket" in capsys.readouterr().err
    bucket = ("--staging-bucket", "gs://other", "--dry-run")
    assert deploy(versions, *bucket) == 0
    assert deploy(tmp_path, *bucket) == 2
    assert "no numbered version" in capsys.readouterr().err
    assert deploy(versions, "--min-replicas", "2", *bucket) == 2
    assert "received 2 and 1" in capsys.readouterr().err


def test_without_credentials_it_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    with pytest.raises(CloudError, match="gcloud auth"):
        vertex_deploy.deploy(WANTED)
