"""The job `project`: embeddings for TensorBoard's projector, with pictures."""

from pathlib import Path

import numpy as np

from gim_tf.data import embeddings
from gim_tf.data.shards import disk_errors
from gim_tf.inspection.neighbor_page import label_name
from gim_tf.inspection.projector import write_projector
from gim_tf.inspection.thumbnails import pixels
from gim_tf.jobs.searching import resolve

_SIDE = 64  # pixels of a picture; 2,000 of them are a sprite of 2880 x 2880


def project(
    directory: str | Path,
    log_dir: str | Path,
    *,
    source: str | Path | None = None,
    limit: int = 2000,
) -> int:
    """Writes the files that TensorBoard's projector opens.

    Args:
      directory: embeddings, as `gim embed` writes them to .parquet.
      log_dir: TensorBoard's log directory; made if missing.
      source: see `gim_tf.jobs.neighbors`; where items cannot be found they
        are black.
      limit: most rows that are written, evenly spread.

    Returns:
      The number of rows written.

    Raises:
      DataError: no embeddings, or none among them, or a full disk.
    """
    facts = embeddings.read_facts(directory)
    kept = min(facts.count, limit)
    wanted = [index * facts.count // kept for index in range(kept)]
    rows = _chosen(directory, wanted)
    items = resolve(facts, rows.ids, source)
    views = [
        pixels(items[one].encoded if one in items else None, _SIDE)
        for one in rows.ids
    ]
    metadata = {
        "label": [label_name(x, facts.class_names) or "-" for x in rows.labels],
        "split": [split or "-" for split in rows.splits],
        "id": list(rows.ids),
    }
    with disk_errors(Path(log_dir)):
        return write_projector(
            str(log_dir),
            rows.features,
            metadata,
            views=np.stack(views) if items else None,
            limit=limit,
        )


def _chosen(directory: str | Path, wanted: list[int]) -> embeddings.Rows:
    """Rows by their positions in the whole, ascending."""
    parts, start = [], 0
    for part in embeddings.read_rows(directory):
        end = start + len(part.ids)
        at = [i - start for i in wanted if start <= i < end]
        parts.append(
            embeddings.Rows(
                [part.ids[i] for i in at],
                [part.splits[i] for i in at],
                [part.labels[i] for i in at],
                {name: x[at] for name, x in part.features.items()},
            )
        )
        start = end
    return embeddings.Rows(
        [one for part in parts for one in part.ids],
        [one for part in parts for one in part.splits],
        [one for part in parts for one in part.labels],
        {
            name: np.concatenate([part.features[name] for part in parts])
            for name in parts[0].features
        },
    )
