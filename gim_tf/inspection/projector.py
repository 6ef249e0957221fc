"""Writes features for TensorBoard's projector: TSV tables and a sprite.

The projector reads tables as they are, so no checkpoint is involved:

    projector_config.pbtxt    names the files below
    projector/module_1.tsv    one row of features an example
    projector/metadata.tsv    what is known of each row, such as its class
    projector/sprite.png      a small picture of each row, in reading order
"""

import io
import math
import os
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from tensorboard.plugins.projector import ProjectorConfig

from gim_tf.errors import DataError
from gim_tf.inspection.pictures import encode_png, rgb, tile, to_pixels

MAX_SPRITE = 8192  # pixels; the largest texture that the projector accepts
_METADATA = "projector/metadata.tsv"
_SPRITE = "projector/sprite.png"


def write_projector(
    log_dir: str,
    features: Mapping[str, np.ndarray],
    metadata: Mapping[str, Sequence[str]],
    *,
    views: np.ndarray | None = None,
    limit: int = 2000,
) -> int:
    """Writes the features of each module, sub-sampled evenly.

    Args:
      log_dir: TensorBoard's log directory of the run.
      features: [n, d] by module, the same n for all.
      metadata: columns of n texts, such as "class" and "id".
      views: [n, height, width, 1 or 3], drawn at each point; None for none.
      limit: most rows that are written.

    Returns:
      The number of rows written: at most `limit`, and no more than a sprite
      holds views.

    Raises:
      DataError: the lengths differ, there is no example, or a view is larger
        than a sprite.
    """
    count = _common_length(features, metadata, views)
    rows = _evenly(count, min(limit, _sprite_capacity(views)))
    tf.io.gfile.makedirs(os.path.join(log_dir, "projector"))
    for module, values in features.items():
        _write(log_dir, _tensor_path(module), _tensor_table(values[rows]))
    chosen = {name: [v[i] for i in rows] for name, v in metadata.items()}
    _write(log_dir, _METADATA, _metadata_table(chosen))
    if views is not None:
        _write(log_dir, _SPRITE, _sprite(views[rows]))
    config = text_format.MessageToString(_config(features, len(rows), views))
    _write(log_dir, "projector_config.pbtxt", config.encode())
    return len(rows)


def _common_length(
    features: Mapping[str, np.ndarray],
    metadata: Mapping[str, Sequence[str]],
    views: np.ndarray | None,
) -> int:
    tables = {**features, **metadata}
    lengths = {name: len(values) for name, values in tables.items()}
    if views is not None:
        lengths["views"] = len(views)
    if (
        len(set(lengths.values())) != 1
        or not features
        or not all(lengths.values())
    ):
        raise DataError(
            "Expected features, metadata and views of the same length, at "
            f"least 1, received {lengths}."
        )
    return next(iter(lengths.values()))


def _sprite_capacity(views: np.ndarray | None) -> float:
    """Views that fit on a square sprite of MAX_SPRITE pixels a side."""
    if views is None:
        return math.inf
    largest = max(views.shape[1:3])
    if largest > MAX_SPRITE:
        raise DataError(
            f"Expected views of at most {MAX_SPRITE} pixels a side for a "
            f"sprite, received {largest}; leave the views out."
        )
    return (MAX_SPRITE // largest) ** 2


def _evenly(count: int, limit: float) -> list[int]:
    """At most `limit` positions, but one, spread over 0..count-1."""
    kept = int(min(count, max(limit, 1)))
    return [i * count // kept for i in range(kept)]


def _tensor_path(module: str) -> str:
    return f"projector/{module}.tsv"


def _tensor_table(values: np.ndarray) -> bytes:
    buffer = io.StringIO()
    np.savetxt(buffer, values, fmt="%.5g", delimiter="\t")
    return buffer.getvalue().encode()


def _metadata_table(columns: Mapping[str, Sequence[str]]) -> bytes:
    """The projector wants a header, unless there is a single column."""
    lines = list(zip(*columns.values(), strict=True))
    if len(columns) > 1:
        lines.insert(0, tuple(columns))
    cells = [[" ".join(text.split()) for text in line] for line in lines]
    return "".join("\t".join(line) + "\n" for line in cells).encode()


def _sprite(views: np.ndarray) -> bytes:
    columns = math.ceil(math.sqrt(len(views)))
    return encode_png(tile(rgb(to_pixels(views)), columns=columns, gap=0))


def _config(
    features: Mapping[str, np.ndarray], rows: int, views: np.ndarray | None
) -> ProjectorConfig:
    config = ProjectorConfig()
    for module, values in features.items():
        embedding = config.embeddings.add()
        embedding.tensor_name = module
        embedding.tensor_shape.extend([rows, values.shape[1]])
        embedding.tensor_path = _tensor_path(module)
        embedding.metadata_path = _METADATA
        if views is not None:
            height, width = views.shape[1:3]
            embedding.sprite.image_path = _SPRITE
            embedding.sprite.single_image_dim.extend([width, height])
    return config


def _write(log_dir: str, name: str, content: bytes) -> None:
    with tf.io.gfile.GFile(os.path.join(log_dir, name), "wb") as file:
        file.write(content)
