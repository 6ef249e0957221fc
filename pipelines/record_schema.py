"""The hand-written schema, completed with an experiment's numbers of labels."""

import hashlib
from pathlib import Path

import tensorflow as tf
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from gim_tf.config import DataConfig

_TEMPLATE = Path(__file__).parent / "schema" / "records.pbtxt"


def record_schema(data: DataConfig) -> schema_pb2.Schema:
    """The schema of `schema/records.pbtxt`, with largest labels if known."""
    text = _TEMPLATE.read_text(encoding="utf-8")
    schema = text_format.Parse(text, schema_pb2.Schema())
    features = {feature.name: feature for feature in schema.feature}
    if data.max_label is not None:
        features["label"].int_domain.max = data.max_label
    if data.frame_names:
        features["frame_labels"].int_domain.max = len(data.frame_names) - 1
    return schema


def schema_path(data: DataConfig, directory: str) -> str:
    """Where the schema goes: TFX takes the path as the cache key.

    So the name is a hash of the content.
    """
    name = hashlib.sha256(_text(data).encode()).hexdigest()[:12]
    return f"{directory.rstrip('/')}/schema-{name}.pbtxt"


def write_schema(data: DataConfig, directory: str) -> str:
    """Writes the schema and returns its path."""
    path = schema_path(data, directory)
    tf.io.gfile.makedirs(directory)
    with tf.io.gfile.GFile(path, "w") as file:
        file.write(_text(data))
    return path


def _text(data: DataConfig) -> str:
    return text_format.MessageToString(record_schema(data))
