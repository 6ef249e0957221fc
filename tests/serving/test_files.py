"""TF Serving's files are read as it reads them, and keep what they promise."""

import json
from pathlib import Path
from types import SimpleNamespace

import kubernetes
import pytest
import yaml
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)

SERVING = Path(__file__).parents[2] / "serving"
FLAGS = {
    "--port=8500",
    "--rest_api_port=8501",
    "--model_config_file=/config/models.config",
    "--monitoring_config_file=/config/monitoring.config",
    "--enable_profiler=false",
}


def parsed(name, message):
    return text_format.Parse((SERVING / name).read_text(), message)


def without_a_package():
    """BatchingParameters and MonitoringConfig, field by field.

    tensorflow-serving-api leaves them out: they are those of TF Serving 2.16,
    servables/tensorflow/session_bundle_config.proto and
    config/monitoring_config.proto.
    """
    field = descriptor_pb2.FieldDescriptorProto
    wrapped = ".google.protobuf.Int64Value"
    file = descriptor_pb2.FileDescriptorProto(
        name="serving_files.proto",
        package="serving_files",
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )

    def add(message, name, number, type_, type_name=None, label=1):
        message.field.add(
            name=name,
            number=number,
            type=type_,
            type_name=type_name,
            label=label,
        )

    batching = file.message_type.add(name="BatchingParameters")
    names = ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches")
    for number, name in enumerate((*names, "num_batch_threads"), 1):
        add(batching, name, number, field.TYPE_MESSAGE, wrapped)
    add(batching, "allowed_batch_sizes", 6, field.TYPE_INT64, label=3)
    add(batching, "pad_variable_length_inputs", 7, field.TYPE_BOOL)
    prometheus = file.message_type.add(name="PrometheusConfig")
    add(prometheus, "enable", 1, field.TYPE_BOOL)
    add(prometheus, "path", 2, field.TYPE_STRING)
    monitoring = file.message_type.add(name="MonitoringConfig")
    type_name = ".serving_files.PrometheusConfig"
    add(monitoring, "prometheus_config", 1, field.TYPE_MESSAGE, type_name)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    factory = message_factory.MessageFactory(pool)
    return [
        factory.GetPrototype(
            pool.FindMessageTypeByName(f"serving_files.{name}")
        )()
        for name in ("BatchingParameters", "MonitoringConfig")
    ]


@pytest.fixture(scope="module")
def compose():
    content = yaml.safe_load((SERVING / "compose.yaml").read_text())
    (service,) = content["services"].values()
    return service


@pytest.fixture(scope="module")
def objects():
    found = yaml.safe_load_all((SERVING / "kubernetes.yaml").read_text())
    return {item["kind"]: item for item in found}


@pytest.fixture(scope="module")
def pod(objects):
    return objects["Deployment"]["spec"]["template"]["spec"]


def test_two_models_have_labels_of_versions_that_are_loaded():
    from tensorflow_serving.config import model_server_config_pb2

    config = parsed(
        "models.config", model_server_config_pb2.ModelServerConfig()
    )
    models = config.model_config_list.config
    assert [model.name for model in models] == ["vision", "speech"]
    for model in models:
        assert model.base_path == f"/models/{model.name}"
        assert model.model_platform == "tensorflow"
        loaded = set(model.model_version_policy.specific.versions)
        assert set(model.version_labels) == {"stable", "canary"}
        assert set(model.version_labels.values()) <= loaded


def test_batching_and_monitoring_are_what_tf_serving_reads():
    batching, monitoring = without_a_package()
    parsed("batching.config", batching)
    assert batching.max_batch_size.value == 32
    parsed("monitoring.config", monitoring)
    assert monitoring.prometheus_config.enable
    path = monitoring.prometheus_config.path
    assert path == "/monitoring/prometheus/metrics"


def test_security_compose_has_few_rights_and_is_reached_from_this_machine_alone(
    compose,
):
    assert compose["image"].startswith("tensorflow/serving:2.16.1@${")
    assert all(port.startswith("127.0.0.1:") for port in compose["ports"])
    assert compose["read_only"] is True
    assert [v["read_only"] for v in compose["volumes"]] == [True, True]
    assert int(compose["user"].split(":")[0]) > 0
    assert compose["cap_drop"] == ["ALL"]
    assert compose["security_opt"] == ["no-new-privileges:true"]
    assert set(compose["command"]) >= FLAGS


def test_security_kubernetes_has_few_rights_and_is_reached_inside_alone(
    objects, pod
):
    assert objects["Service"]["spec"]["type"] == "ClusterIP"
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    (container,) = pod["containers"]
    assert container["image"].startswith("tensorflow/serving:2.16.1@sha256:")
    rights = container["securityContext"]
    assert rights["readOnlyRootFilesystem"] is True
    assert rights["allowPrivilegeEscalation"] is False
    assert rights["capabilities"] == {"drop": ["ALL"]}
    mounts = {m["name"]: m.get("readOnly") for m in container["volumeMounts"]}
    assert mounts == {"models": True, "config": True, "tmp": None}
    assert set(container["args"]) >= FLAGS


def test_kubernetes_knows_every_field(objects):
    client = kubernetes.client.ApiClient()
    for kind, item in objects.items():
        text = SimpleNamespace(data=json.dumps(item))
        known = client.deserialize(text, f"V1{kind}")
        # A field that it does not know would be lost.
        assert client.sanitize_for_serialization(known) == item


def test_kubernetes_repeats_the_files_and_the_flags(objects, pod, compose):
    for name, content in objects["ConfigMap"]["data"].items():
        assert content == (SERVING / name).read_text()
    assert pod["containers"][0]["args"] == compose["command"]
