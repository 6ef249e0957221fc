"""`gim plan`: throughput and memory of 2 to 1,000 workers, by calculation."""

import argparse
import json
from collections.abc import Mapping
from typing import Any

from gim_tf.cli import shared
from gim_tf.cli.printing import print_bench, say
from gim_tf.cli.shared import disk_path
from gim_tf.errors import ConfigError

_GIGABIT = 1e9 / 8  # bytes a second
_GIB = 1024**3


def add_plan(added: Any) -> None:
    """The verb."""
    parser = shared.verb(
        added,
        "plan",
        plan,
        "calculate throughput and memory of many workers: decoupled modules, "
        "GPipe, data parallelism",
        "gim plan --experiment fashion_mnist_gim --threads 1 "
        "--save-costs costs.json",
        "gim plan --costs costs.json --depth 50 --bandwidth 25 "
        "--output plan.png",
        "gim plan --costs costs.json --workers 2,4,8 --jitter 0.2 --json",
        "gim plan --costs costs.json --devices 8",
    )
    shared.add_experiment(parser, required=False)
    _add_costs(parser)
    _add_machines(parser)
    _add_systems(parser)
    shared.add_json(parser)
    parser.add_argument(
        "--output", type=disk_path, metavar="FILE", help="PNG of the plan"
    )


def plan(options: argparse.Namespace) -> None:
    """Measures or reads costs, and prints the plan."""
    from gim_tf.planning import table

    if options.devices is not None and (options.workers or options.output):
        raise ConfigError(
            "--devices tries every number of workers, and draws nothing; leave "
            "--workers and --output out."
        )
    costs = _costs(options)
    if options.depth is not None:
        costs = costs.deepened(options.depth)
    if options.devices is not None:
        _plan_devices(costs, options)
        return
    found = table.plan(
        costs,
        _settings(options),
        options.workers or table.WORKERS,
        memory=options.memory and options.memory * _GIB,
        jitter=options.jitter,
        seed=options.jitter_seed,
    )
    if options.output is not None:
        from gim_tf.planning.picture import picture

        options.output.write_bytes(picture(found))
        say(f"The plan is drawn in {options.output}.")
    print_bench(
        found, [_row(row) for row in found["rows"]], only_json=options.json
    )


def _plan_devices(costs: Any, options: argparse.Namespace) -> None:
    from gim_tf.planning.devices import plan_devices

    found = plan_devices(
        costs,
        _settings(options),
        options.devices,
        memory=options.memory and options.memory * _GIB,
    )
    rows = [
        {
            "workers": row["workers"],
            "modules": " ".join(map(str, row["sizes"])),
            "devices": " ".join(map(str, row["replicas"])),
            **{
                key: value
                for key, value in _row(row).items()
                if key not in ("workers", "system", "batch", "simulated")
            },
            "": "fastest" if row["workers"] == found["best"] else "",
        }
        for row in found["rows"]
    ]
    print_bench(found, rows, only_json=options.json)


def _costs(options: argparse.Namespace) -> Any:
    from gim_tf.planning import costs

    if (options.costs is None) == (options.experiment is None):
        raise ConfigError(
            "gim plan needs the costs of modules: --experiment NAME to measure "
            "them here, or --costs FILE, one of the two."
        )
    if options.costs is not None:
        return costs.read_costs(options.costs)
    experiment = shared.resolved(options)
    from gim_tf.bench.modules import measure

    say(f"Measuring the modules of {experiment.name} ...")
    measured = measure(experiment, steps=options.steps, threads=options.threads)
    if options.save_costs is not None:
        options.save_costs.write_text(json.dumps(measured, indent=2) + "\n")
        say(f"  written to {options.save_costs}")
    return costs.from_dict(measured)


def _settings(options: argparse.Namespace) -> Any:
    from gim_tf.planning.network import Network
    from gim_tf.planning.systems import Settings

    network = Network(
        bandwidth=options.bandwidth * _GIGABIT,
        latency=options.latency * 1e-6,
        workers_per_host=options.workers_per_host,
        local_bandwidth=options.local_bandwidth * _GIGABIT,
    )
    return Settings(
        network=network,
        queue=options.queue,
        micro_batches=options.micro_batches,
        rematerialise=options.rematerialise,
    )


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    memory = f"{row['memory'] / _GIB:.3g}"
    return {
        "workers": row["workers"],
        "system": row["system"],
        "batch": f"{row['batch']:.0f}",
        "examples/s": f"{row['throughput']:.4g}",
        "speed-up": f"{row['speedup']:.2f}",
        "simulated": f"{row['simulated']:.4g}" if "simulated" in row else "-",
        "busy": f"{row['busy']:.2f}",
        "GiB a worker": memory if row["fits"] else f"{memory} too much",
        "link MB/s": f"{row['traffic'] / 1e6:.3g}",
        "bottleneck": row["bottleneck"],
    }


def _add_costs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--costs",
        type=disk_path,
        metavar="FILE",
        help="JSON of batch_size and modules, as --save-costs writes it; none: "
        "--experiment is measured here, a few steps of each module",
    )
    parser.add_argument(
        "--save-costs", type=disk_path, metavar="FILE", help="what was measured"
    )
    parser.add_argument(
        "--batch-size",
        type=int,
        metavar="N",
        help="of the measurement, same as --set training.batch_size=N",
    )
    parser.add_argument(
        "--steps",
        type=int,
        default=5,
        metavar="N",
        help="that are timed, after 2 to warm up; 5 by default",
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=1,
        metavar="N",
        help="of the measurement, as many as a worker will have; 1 by default, "
        "0: one a core",
    )
    parser.add_argument(
        "--depth",
        type=int,
        metavar="N",
        help="as if the last module stood again until there are N",
    )


def _add_machines(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workers",
        type=shared.numbers,
        metavar="N,N,...",
        help="2 to 1000, doubling, by default",
    )
    parser.add_argument(
        "--devices",
        type=int,
        metavar="D",
        help="instead: into how many decoupled workers the modules are best "
        "divided, and on how many of D devices each trains",
    )
    for name, default, unit in (
        ("bandwidth", 10.0, "Gbit/s of a host's link, each way"),
        ("latency", 50.0, "microseconds between hosts"),
        ("local-bandwidth", 100.0, "Gbit/s between workers of one host"),
    ):
        parser.add_argument(
            f"--{name}",
            type=float,
            default=default,
            metavar="X",
            help=f"{unit}; {default:g} by default",
        )
    parser.add_argument(
        "--workers-per-host",
        type=int,
        default=1,
        metavar="N",
        help="which share the host's link; 1 by default. Of --devices: devices",
    )
    parser.add_argument(
        "--memory",
        type=float,
        metavar="GIB",
        help="that a worker has; rows beyond are marked",
    )


def _add_systems(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--queue",
        type=int,
        default=2,
        metavar="N",
        help="decoupled: batches that wait before a module; 2 by default",
    )
    parser.add_argument(
        "--jitter",
        type=float,
        default=0.0,
        metavar="S",
        help="decoupled: deviation of the logarithm of simulated times; 0: "
        "all equal (default)",
    )
    parser.add_argument(
        "--jitter-seed", type=int, default=0, metavar="N", help="of the jitter"
    )
    parser.add_argument(
        "--micro-batches",
        type=int,
        default=8,
        metavar="N",
        help="GPipe: parts of a batch; 8 by default",
    )
    parser.add_argument(
        "--rematerialise",
        action="store_true",
        help="GPipe: keep what stages hand over only, and compute the rest "
        "twice",
    )
