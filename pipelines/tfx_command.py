"""What TFX's own command, `tfx pipeline` and `tfx run`, starts of this project.

It hands a script no arguments, so that they come from the environment:

    GIM_EXPERIMENT    name; fashion_mnist_gim
    GIM_SET           overrides, as of --set, separated by spaces; none
    GIM_OUTPUT_DIR    of a local run; outputs/<experiment>
    GIM_PROJECT, GIM_REGION, GIM_PIPELINE_ROOT, GIM_IMAGE    of Vertex AI; all
                      needed
    GIM_SERVICE_ACCOUNT, GIM_DATA_VERSION    likewise, if any

Both runner files take both engines: the command replaces the `run` of the
engine's runner before it loads the file, and from that the engine is told.
"""

import os
import shlex
import sys
from collections.abc import Mapping

from tfx import v1 as tfx

from gim_tf import config, experiments
from gim_tf.errors import ConfigError, GimError
from pipelines import local_runner, vertex_runner
from pipelines.vertex_settings import Vertex

_VERTEX = ("GIM_PROJECT", "GIM_REGION", "GIM_PIPELINE_ROOT", "GIM_IMAGE")


def main(environment: Mapping[str, str] = os.environ) -> None:
    """Compiles for the engine that asks; runs locally if none does.

    Args:
      environment: see the file.

    Raises:
      SystemExit: with a line for what a user can mend.
    """
    try:
        _start(environment)
    except GimError as error:
        sys.exit(f"gim: error: {error}")


def _start(environment: Mapping[str, str]) -> None:
    experiment = config.resolve(
        experiments.get(environment.get("GIM_EXPERIMENT", "fashion_mnist_gim")),
        shlex.split(environment.get("GIM_SET", "")),
    )
    folder = environment.get("GIM_OUTPUT_DIR", f"outputs/{experiment.name}")
    if _asked_for(tfx.orchestration.experimental.KubeflowV2DagRunner):
        _compile_for_vertex(experiment, folder, environment)
    elif _asked_for(tfx.orchestration.LocalDagRunner):
        pipeline = local_runner.assemble(experiment, folder)
        tfx.orchestration.LocalDagRunner().run(pipeline)
    else:
        result = local_runner.run(experiment, folder, report=_say)
        _say(f"Report: {result.summary['report']}")


def _asked_for(runner: type) -> bool:
    """Whether TFX's command has put its own function around `run`."""
    return hasattr(runner.run, "__wrapped__")  # type: ignore[attr-defined]


def _compile_for_vertex(
    experiment: config.Experiment, folder: str, environment: Mapping[str, str]
) -> None:
    missing = [name for name in _VERTEX if not environment.get(name)]
    if missing:
        raise ConfigError(
            f"For Vertex AI set {', '.join(missing)} in the environment."
        )
    project, region, root, image = (environment[name] for name in _VERTEX)
    vertex_runner.compile_pipeline(
        experiment,
        root,
        os.path.join(folder, "pipeline.json"),
        vertex=Vertex(
            project=project,
            region=region,
            image=image,
            service_account=environment.get("GIM_SERVICE_ACCOUNT", ""),
        ),
        data_fingerprint=vertex_runner.fingerprint(
            experiment.data, environment.get("GIM_DATA_VERSION", "")
        ),
    )


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
