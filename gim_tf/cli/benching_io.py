"""`gim bench data`, `probe` and `pipeline`: what surrounds a training step."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gim_tf.cli import shared
from gim_tf.cli.printing import print_bench, say
from gim_tf.cli.shared import disk_path


def data(options: argparse.Namespace) -> None:
    """Times the input pipeline."""
    experiment = shared.resolved(options)
    from gim_tf.bench.data import measure

    found = measure(
        experiment,
        _records(options),
        steps=options.steps,
        threads=options.threads,
    )
    print_bench(found, _data_rows(found), only_json=options.json)


def add_data(added: Any) -> None:
    """`gim bench data`."""
    parser = shared.verb(
        added,
        "data",
        data,
        "examples a second of the input, and how long training waits for it",
        "gim bench data --experiment fashion_mnist_gim",
        "gim bench data --experiment stl10_gim --data stl10_binary/ "
        "--output-dir outputs/stl10 --steps 20",
    )
    shared.add_experiment(parser)
    _add_records(parser)
    parser.add_argument(
        "--steps",
        type=int,
        default=40,
        metavar="N",
        help="that are timed, after as many to warm up; 40 by default",
    )
    shared.add_bench(parser)


def xla(options: argparse.Namespace) -> None:
    """Measures an experiment with and without XLA."""
    experiment = shared.resolved(options)
    from gim_tf.bench.xla import measure

    found = measure(
        experiment, steps=options.steps, threads=options.threads, report=say
    )
    rows = [
        {
            "step": "with XLA" if row["jit_compile"] else "without",
            "s a step": f"{row['wall_s']['median']:.4f}",
            "CPU s a step": f"{row['cpu_s']['median']:.4f}",
            "of without": f"{row['of_without']:.2f}",
            "s before the first": f"{row['until_warm_s']:.1f}",
            "peak MiB": f"{row['peak_mib_above_import']:.0f}",
        }
        for row in found["rows"]
    ]
    print_bench(found, rows, only_json=options.json)


def add_xla(added: Any) -> None:
    """`gim bench xla`."""
    parser = shared.verb(
        added,
        "xla",
        xla,
        "what XLA makes of a step: seconds, memory, time to compile",
        "gim bench xla --experiment fashion_mnist_gim",
        "gim bench xla --experiment stl10_gim --batch-size 4 --steps 10",
    )
    shared.add_experiment(parser)
    shared.add_bench(parser)
    parser.add_argument(
        "--batch-size",
        type=int,
        metavar="N",
        help="same as --set training.batch_size=N",
    )
    parser.add_argument(
        "--steps",
        type=int,
        default=6,
        metavar="N",
        help="that are timed, after 2 to warm up; 6 by default",
    )


def probe(options: argparse.Namespace) -> None:
    """Times the parts of a probe."""
    experiment = shared.resolved(options)
    from gim_tf.bench.probe import measure

    found = measure(experiment, _records(options), threads=options.threads)
    rows = [
        {
            "part": part["part"],
            "module": part["module"] or "all",
            "seconds": f"{part['seconds']:.2f}",
            "examples": part["examples"],
            "a second": f"{part['examples_per_second']:.0f}",
        }
        for part in found["parts"]
    ]
    print_bench(found, rows, only_json=options.json)


def add_probe(added: Any) -> None:
    """`gim bench probe`."""
    parser = shared.verb(
        added,
        "probe",
        probe,
        "seconds of each part of a probe: features, and every head",
        "gim bench probe --experiment fashion_mnist_gim --set probe.epochs=2",
        "gim bench probe --experiment flite_gim --output-dir outputs/lib",
    )
    shared.add_experiment(parser)
    _add_records(parser)
    shared.add_bench(parser)


def pipeline(options: argparse.Namespace) -> None:
    """Tells the seconds of a run's components, of a new run if asked for."""
    if options.experiment is not None:
        experiment = shared.resolved(options)
        say("Loading TFX (about half a minute) ...")
        from pipelines import local_runner

        local_runner.run(experiment, str(options.output_dir), report=say)
    from pipelines.costs import costs

    found = costs(options.output_dir)
    rows = [
        {
            "component": one["component"],
            "state": one["state"],
            "seconds": f"{one['seconds']:.2f}",
            "when it ran": f"{one['made_in_s']:.2f}",
        }
        for one in found["components"]
    ]
    last = {
        "between them": found["between_s"],
        "all": found["seconds"],
    }
    rows += [
        {
            "component": name,
            "state": "",
            "seconds": f"{seconds:.2f}",
            "when it ran": "",
        }
        for name, seconds in last.items()
    ]
    print_bench(found, rows, only_json=options.json)


def add_pipeline(added: Any) -> None:
    """`gim bench pipeline`."""
    parser = shared.verb(
        added,
        "pipeline",
        pipeline,
        "seconds of each component of a pipeline's last run",
        "gim bench pipeline --output-dir outputs/first",
        "gim bench pipeline --output-dir outputs/new --experiment "
        "fashion_mnist_gim --set training.num_steps=30",
    )
    shared.add_experiment(parser, required=False)
    parser.add_argument(
        "--output-dir",
        type=disk_path,
        required=True,
        metavar="DIR",
        help="of `gim run`; with --experiment it is run there first",
    )
    shared.add_json(parser)


def _add_records(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--output-dir",
        type=disk_path,
        metavar="DIR",
        help="of `gim pretrain`: its records are read, or written if there "
        "are none; not given: written for this alone",
    )


def _records(options: argparse.Namespace) -> Path | None:
    directory: Path | None = options.output_dir
    return directory / "records" if directory else None


def _data_rows(found: Mapping[str, Any]) -> list[dict[str, str]]:
    return _rows(
        {
            "input alone, examples a second": (
                f"{found['examples_per_second']:.0f}"
            ),
            "input alone, ms a batch": f"{found['batch_ms']:.2f}",
            "first batch, s": f"{found['first_batch_s']:.2f}",
            "MiB a batch": f"{found['batch_mib']:.2f}",
            "loop, ms a step": f"{found['step_ms']:.0f}",
            "loop, examples a second": (
                f"{found['loop_examples_per_second']:.0f}"
            ),
            "waits for data, % of a step": f"{100 * found['data_wait']:.2f}",
            "input's share of the processor, %": (
                f"{100 * found['processor_share']:.2f}"
            ),
        }
    )


def _rows(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"quantity": k, "value": v} for k, v in values.items()]
