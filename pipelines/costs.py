"""`gim bench pipeline`: seconds of a run, component by component.

Read from the run's metadata store; imports no TFX.
"""

from pathlib import Path
from typing import Any

from ml_metadata.proto import metadata_store_pb2 as mlmd

from gim_tf.errors import DataError
from pipelines import lineage


def costs(output_dir: str | Path) -> dict[str, Any]:
    """What the last run of a pipeline took.

    Args:
      output_dir: of `gim run`.

    Returns:
      Ready for JSON: "components", in order, each with "component", "state",
      "seconds" and "made_in_s" (of the execution that made its outputs, an
      earlier one where it is cached); "seconds" from the first start to the
      last end; "between_s", what of it no component accounts for.

    Raises:
      CheckpointError: the metadata store is damaged.
      DataError: there is none, or no run in it.
    """
    path = Path(output_dir).absolute() / "metadata.sqlite"
    if not path.is_file():
        raise DataError(
            f"{output_dir} holds no run of the pipeline (no {path.name}); "
            "run `gim run` there first, or name an --experiment."
        )
    lineage.check_store(path)
    connection = mlmd.ConnectionConfig(
        sqlite=mlmd.SqliteMetadataSourceConfig(
            filename_uri=str(path),
            connection_mode=mlmd.SqliteMetadataSourceConfig.READONLY,
        )
    )
    runs = lineage.last_run(connection, lambda start, end: None)
    if not runs:
        raise DataError(f"{path} knows of no run; run `gim run` there first.")
    made = lineage.seconds_to_make(connection, runs)
    start = min(run.started for run in runs.values())
    end = max(run.started + run.seconds for run in runs.values())
    busy = sum(run.seconds for run in runs.values())
    return {
        "bench": "pipeline",
        "output_dir": str(output_dir),
        "seconds": end - start,
        "between_s": end - start - busy,
        "components": [
            {
                "component": run.component,
                "state": run.state,
                "seconds": run.seconds,
                "made_in_s": made[name],
            }
            for name, run in runs.items()
        ],
    }
