"""`gim bench`: one sub-verb a measurement, all with a table and a JSON line."""

import argparse
import sys
from collections.abc import Callable, Mapping
from typing import Any

from gim_tf.cli import benching_io, shared
from gim_tf.cli.printing import print_bench


def add_bench(added: Any) -> None:
    """The verb with its sub-verbs."""
    parser = added.add_parser(
        "bench",
        help="measure speed and memory on this machine",
        description="Measure speed and memory on this machine. Each prints a "
        "table and one line of JSON; run one at a time.",
        epilog="`gim bench BENCH --help` shows more.",
    )
    benches = parser.add_subparsers(
        title="benches", metavar="BENCH", required=True
    )
    for add in BENCHES:
        add(benches)


def step(options: argparse.Namespace) -> None:
    """Times training steps, or serves a driver that times them."""
    experiment = shared.resolved(options)
    from gim_tf.bench.step import measure, serve
    from gim_tf.bench.stepper import Plan

    plan = Plan(experiment=experiment, loss=options.loss, module=options.module)
    if options.interactive:
        serve(plan, sys.stdin, _reply, threads=options.threads)
        return
    found = measure(plan, steps=options.steps, threads=options.threads)
    print_bench(found, _step_rows(found), only_json=options.json)


def _reply(line: str) -> None:
    print(line, flush=True)


def _step_rows(found: Mapping[str, Any]) -> list[dict[str, str]]:
    values = {
        "wall s a step": _times(found["wall_s"]),
        "CPU s a step": _times(found["cpu_s"]),
        "examples a second": f"{found['examples_per_second']:.2f}",
        "peak MiB above import": f"{found['peak_mib_above_import']:.0f}",
        "MiB kept for backward": f"{found['kept_mib']:.1f}",
        "GFLOP a step": f"{found['flops_per_step'] / 1e9:.1f}",
        "GFLOP/s of GEMM": f"{found['gemm_gflops']:.0f}",
        "fraction of it": f"{found['gemm_fraction']:.3f}",
        "parameters": f"{found['parameters']:,}",
    }
    return [{"quantity": k, "value": v} for k, v in values.items()]


def _times(spread: Mapping[str, float]) -> str:
    return (
        f"{spread['median']:.3f} ({spread['min']:.3f} .. {spread['max']:.3f})"
    )


def _add_step(added: Any) -> None:
    parser = shared.verb(
        added,
        "step",
        step,
        "seconds, memory and operations of a training step",
        "gim bench step --experiment stl10_gim --batch-size 4 --threads 2",
        "gim bench step --experiment stl10_gim --batch-size 4 --loss summed",
        "gim bench step --experiment librispeech_gim --module 6 --json",
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
        "--schedule",
        choices=("simultaneous", "sequential"),
        help="same as --set training.schedule=...; a sequential step is one "
        "update of each module, in a phase of its own",
    )
    parser.add_argument(
        "--loss",
        choices=("per-module", "summed"),
        default="per-module",
        help="per-module: the library's step (default); summed: one tape over "
        "all modules",
    )
    parser.add_argument(
        "--module", type=int, metavar="M", help="train that one alone, from 1"
    )
    parser.add_argument(
        "--steps",
        type=int,
        default=6,
        metavar="N",
        help="that are timed, after 2 to warm up; 6 by default",
    )
    parser.add_argument(
        "--interactive",
        action="store_true",
        help="for a driver: after the warm-up, answer each line `step N` of "
        "standard input with a line of JSON",
    )


# What adds one sub-verb each, in the order of `gim bench --help`.
BENCHES: tuple[Callable[[Any], None], ...] = (
    _add_step,
    benching_io.add_data,
    benching_io.add_probe,
    benching_io.add_pipeline,
)
