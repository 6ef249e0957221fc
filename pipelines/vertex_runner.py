"""Compiles the pipeline for Vertex AI; needs no network and no credentials.

The job is valid, but these parts of it have run on one machine only, and do
not work with gs:// places yet:

- Trainer: run directory, checkpoints and export use `pathlib` and file locks,
  which know local paths only; so does LinearProbe, which reads the export.
- Push: the manifest of the model is verified with `pathlib` as well, and a
  version is copied in place, its graph last, instead of renamed.
- Sources: `data.path` must be a path inside the container.
- The schema has to be uploaded by hand to the path in the job, as
  `record_schema.write_schema` would write it.
- Nothing writes summary.json beside the artifacts: it is in the artifact of
  Report, without times, memory and lineage.

What it takes is a mounted bucket (such as Cloud Storage FUSE under /gcs), or
`tf.io.gfile` in gim_tf.training and gim_tf.export.
"""

import json
from pathlib import Path
from typing import Any

from tfx import v1 as tfx

from gim_tf import config
from pipelines.pipeline import create_pipeline
from pipelines.record_schema import schema_path
from pipelines.settings import Options, Places


def compile_pipeline(
    experiment: config.Experiment,
    root: str,
    output_file: str | Path,
    *,
    image: str,
    data_fingerprint: str,
    beam_args: tuple[str, ...] = (),
    bulk_infer: bool = False,
) -> dict[str, Any]:
    """Writes the PipelineJob as JSON and returns it.

    Args:
      experiment: what to run.
      root: folder of everything that the pipeline writes, such as
        gs://bucket/gim; the schema is expected below it.
      output_file: the JSON file.
      image: container image with this package and TFX's entry point.
      data_fingerprint: of the source's content.
      beam_args: flags of Beam's runner, such as Dataflow's.
      bulk_infer: see `Options`; what it wrote is made a table by
        `predictions.write_embeddings`.
    """
    places = Places.under(
        root,
        name=experiment.name,
        schema_file=schema_path(experiment.data, f"{root}/schema"),
    )
    pipeline = create_pipeline(
        experiment,
        places,
        data_fingerprint=data_fingerprint,
        options=Options(
            beam_args=beam_args, baseline="latest", bulk_infer=bulk_infer
        ),
    )
    output_file = Path(output_file)
    runner = tfx.orchestration.experimental.KubeflowV2DagRunner(
        config=tfx.orchestration.experimental.KubeflowV2DagRunnerConfig(
            default_image=image
        ),
        output_dir=str(output_file.parent),
        output_filename=output_file.name,
    )
    runner.run(pipeline, write_out=True)
    return json.loads(output_file.read_text())
