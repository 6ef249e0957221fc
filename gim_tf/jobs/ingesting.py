"""The job `ingest`: from a source to records, without Beam."""

from pathlib import Path

from gim_tf.config import Experiment
from gim_tf.data import records
from gim_tf.data.sources import open_source


def ingest(experiment: Experiment, directory: str | Path) -> dict[str, int]:
    """Writes the records of all splits; returns their counts.

    Raises:
      DataError: see `gim_tf.data.records.write_records`.
    """
    return records.write_records(open_source(experiment.data), directory)
