"""The job `ingest`: from a source to records, without Beam."""

import json
from typing import Any

from gim_tf.accelerators import grow_gpu_memory
from gim_tf.config import Experiment, to_dict
from gim_tf.data import corpus, records
from gim_tf.data.sources import open_source
from gim_tf.paths import AnyPath, Place, as_path


def ingest(experiment: Experiment, directory: AnyPath) -> dict[str, Any]:
    """Writes the records of all splits, unless they are there already.

    Args:
      experiment: whose `data` names the source.
      directory: replaced if it holds records of another source, content or
        setting, or lacks a file beside them.

    Returns:
      The content of `ingest.json`: "counts" by split, "fingerprint" and more.

    Raises:
      DataError: see `gim_tf.data.records.write_records`.
    """
    grow_gpu_memory()  # pictures are checked by TensorFlow's decoder
    source = open_source(experiment.data)
    wanted = {
        "fingerprint": source.fingerprint(),
        "data": to_dict(experiment.data),
    }
    found = _read(as_path(directory) / "ingest.json")
    whole = bool(_read(as_path(directory) / corpus.NAME))
    if not whole or {key: found.get(key) for key in wanted} != wanted:
        records.write_records(source, directory)
        found = _read(as_path(directory) / "ingest.json")
    return found


def _read(path: Place) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
