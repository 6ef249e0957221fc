"""The hand-written schema, completed with an experiment's number of classes."""

import hashlib
from pathlib import Path

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from gim_tf.config import DataConfig

_TEMPLATE = Path(__file__).parent / "schema" / "records.pbtxt"


def record_schema(data: DataConfig) -> schema_pb2.Schema:
    """The schema of `schema/records.pbtxt`, with the largest label."""
    text = _TEMPLATE.read_text(encoding="utf-8")
    schema = text_format.Parse(text, schema_pb2.Schema())
    label = next(f for f in schema.feature if f.name == "label")
    label.int_domain.max = len(data.class_names) - 1
    return schema


def write_schema(data: DataConfig, directory: str | Path) -> str:
    """Writes the schema and returns its path, named by its content.

    TFX takes the path, not the content, as the cache key.
    """
    text = text_format.MessageToString(record_schema(data))
    name = hashlib.sha256(text.encode()).hexdigest()[:12]
    path = Path(directory) / f"schema-{name}.pbtxt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)
