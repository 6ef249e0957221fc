"""`gim run --runner vertex`: the pipeline on Vertex AI."""

import argparse
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gim_tf.cli import shared
from gim_tf.cli.printing import print_table, say
from gim_tf.errors import ConfigError, DataError

if TYPE_CHECKING:
    from gim_tf.config import Experiment
    from pipelines.vertex_settings import Machines, Vertex

_NEEDED = ("project", "region", "pipeline_root", "image")


def add_vertex(parser: argparse.ArgumentParser) -> None:
    """What `gim run` takes for `--runner vertex`."""
    parser.add_argument(
        "--runner",
        choices=("local", "vertex"),
        default="local",
        help="local: on this machine (default); vertex: on Vertex AI Pipelines",
    )
    group = parser.add_argument_group("with --runner vertex")
    group.add_argument("--project", metavar="P", help="Google Cloud project")
    group.add_argument("--region", metavar="R", help="such as europe-west4")
    group.add_argument(
        "--pipeline-root", metavar="gs://...", help="all files of the run"
    )
    group.add_argument(
        "--image",
        help="container of all components, as `make image` or cloudbuild.yaml "
        "named it",
    )
    group.add_argument(
        "--service-account",
        default="",
        metavar="EMAIL",
        help="who the jobs run as; none: the project's default one",
    )
    group.add_argument(
        "--dry-run",
        action="store_true",
        help="compile, print what would be submitted, and stop; needs neither "
        "network nor credentials",
    )
    group.add_argument(
        "--data-version",
        default="",
        metavar="TEXT",
        help="names the content of data in a bucket: changed, ingest runs "
        "again",
    )
    _add_machines(group)


def _add_machines(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--machine-type",
        metavar="NAME",
        help="of the training job; n1-standard-8 by default",
    )
    group.add_argument(
        "--accelerator",
        metavar="NAME[:N]",
        help="of the training job, such as NVIDIA_TESLA_T4; none by default",
    )
    group.add_argument(
        "--spot",
        action="store_true",
        help="train on machines that may be taken away; it goes on from the "
        "last checkpoint",
    )
    for flag, kind, help_text in (
        ("--timeout-hours", int, "after which the training job is ended; 168"),
        ("--disk-gb", int, "of the training job's boot disk; 100"),
        ("--cpus", float, "cores of every other component; 4"),
        ("--memory-gb", float, "memory of every other component; 16"),
    ):
        group.add_argument(flag, type=kind, metavar="N", help=help_text)
    group.add_argument(
        "--tensorboard",
        default="",
        metavar="NAME",
        help="Vertex TensorBoard, projects/P/locations/R/tensorboards/N, that "
        "gets the training's logs; needs --service-account",
    )


def run_vertex(options: argparse.Namespace) -> None:
    """Compiles, prints the plan, and submits unless it is a dry run."""
    from pipelines.settings import Options, check_bulk_infer
    from pipelines.vertex_settings import (
        Vertex,
        check_accelerators,
        vertex_places,
    )

    experiment = shared.resolved(options)
    if options.bulk_infer:
        check_bulk_infer(experiment)
    missing = [name for name in _NEEDED if not getattr(options, name)]
    if missing:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in missing)
        raise ConfigError(f"--runner vertex also needs {flags}.")
    vertex = Vertex(
        project=options.project,
        region=options.region,
        image=options.image,
        service_account=options.service_account,
        pools=(_machines(options),),
        spot=options.spot,
        tensorboard=options.tensorboard,
        **_given(options, "timeout_hours", "cpus", "memory_gb"),
    )
    check_accelerators(experiment, vertex)
    root = options.pipeline_root
    vertex_places(root, name=experiment.name, schema_file="")
    file = _job_file(options, experiment.name)
    say("Loading TFX (about half a minute) ...")
    from pipelines import vertex_runner

    vertex_runner.compile_pipeline(
        experiment,
        root,
        file,
        vertex=vertex,
        data_fingerprint=vertex_runner.fingerprint(
            experiment.data, options.data_version
        ),
        options=Options(
            beam_args=tuple(shlex.split(options.beam_args)),
            enable_cache=not options.no_cache,
            resume=options.resume,
            bulk_infer=options.bulk_infer,
        ),
    )
    _print_plan(file, experiment, root, vertex)
    if options.dry_run:
        print("\nDry run: nothing was submitted.")
        return
    print(f"\nStarted: {vertex_runner.submit(experiment, root, file, vertex)}")


def refuse_vertex_options(options: argparse.Namespace) -> None:
    """Raises `ConfigError` for what only Vertex AI has, and for no output."""
    given = [
        f"--{name.replace('_', '-')}"
        for name in (
            *_NEEDED,
            *("image", "service_account", "dry_run", "data_version"),
            *("machine_type", "accelerator", "spot", "tensorboard"),
            *("timeout_hours", "disk_gb", "cpus", "memory_gb"),
        )
        if _is_given(getattr(options, name))
    ]
    if given:
        raise ConfigError(
            f"{given[0]} is for --runner vertex; received --runner local."
        )
    if options.output_dir is None:
        raise ConfigError("gim run needs --output-dir DIR.")


def _machines(options: argparse.Namespace) -> "Machines":
    from pipelines.vertex_settings import Machines

    name, _, count = (options.accelerator or "").partition(":")
    if count and not (count.isdecimal() and int(count)):
        raise ConfigError(
            "--accelerator must be like NVIDIA_TESLA_T4 or NVIDIA_TESLA_T4:2, "
            f"received {options.accelerator!r}."
        )
    return Machines(
        accelerator=name,
        accelerators=int(count or 1),
        **_given(options, "machine_type", "disk_gb"),
    )


def _given(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Those options that were typed; the others have their defaults."""
    found = {name: getattr(options, name) for name in names}
    return {name: x for name, x in found.items() if _is_given(x)}


def _is_given(value: Any) -> bool:
    return value is not None and value is not False and value != ""


def _job_file(options: argparse.Namespace, name: str) -> Path:
    directory = options.output_dir or Path("outputs", name)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"Cannot create {directory}: {error.strerror}."
        ) from error
    return directory / "pipeline.json"


def _print_plan(
    file: Path, experiment: "Experiment", root: str, vertex: "Vertex"
) -> None:
    from pipelines import vertex_plan

    steps = vertex_plan.steps(json.loads(file.read_text()))
    print_table(
        [
            {
                "component": step.name,
                "machine": step.machine,
                "reads": ", ".join(step.reads) or "-",
            }
            for step in steps
        ]
    )
    images = {step.image for step in steps if step.image != "-"}
    facts = {
        **vertex_plan.submission(root, vertex),
        **vertex_plan.inputs(experiment),
        "images": ", ".join(sorted(images)),
        "compiled": str(file),
    }
    print()
    width = max(map(len, facts)) + 1
    for name, value in facts.items():
        print(f"{name + ':':<{width}} {value}")
