"""`gim bench`: one sub-verb a measurement, all with a table and a JSON line."""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gim_tf.cli import benching_io, shared
from gim_tf.cli.printing import print_bench, say
from gim_tf.cli.shared import disk_path


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


def profile(options: argparse.Namespace) -> None:
    """Records steps by operation, and draws the last one."""
    experiment = shared.resolved(options)
    from gim_tf.bench.stepper import Plan
    from gim_tf.bench.timeline import profile as record

    found = record(
        Plan(experiment=experiment),
        steps=options.steps,
        threads=options.threads,
    )
    if options.output is not None:
        options.output.write_bytes(found.picture())
        say(f"The last step is drawn in {options.output}.")
    result = {"experiment": experiment.name, **found.as_dict()}
    rows = [
        {"of a step": name, "ms": f"{ms:.1f}", "share": f"{ms / busy:.3f}"}
        for busy in (result["busy_ms"],)
        for name, ms in _profile_rows(result)
    ]
    print_bench(result, rows, only_json=options.json)


def _profile_rows(found: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    yield "wall time", found["wall_ms"]
    yield "all operations, all threads", found["busy_ms"]
    for module, passes in found["passes"].items():
        for name, ms in passes.items():
            yield f"{module} {name}" if module != "-" else name, ms
    yield from found["kinds"].items()


def memory(options: argparse.Namespace) -> None:
    """Measures a family of experiments, each in a process of its own."""
    experiment = shared.resolved(options)
    from gim_tf.bench.memory import measure

    found = measure(
        experiment, steps=options.steps, threads=options.threads, report=say
    )
    rows = [
        {
            "step": row["variant"],
            "peak MiB": f"{row['peak_mib_above_import']:.0f}",
            "of supervised": f"{row['of_supervised']:.2f}",
            "kept MiB": f"{row['kept_mib']:.1f}",
            "of supervised's": f"{row['kept_of_supervised']:.2f}",
            "s a step": f"{row['wall_s']['median']:.3f}",
            "parameters": f"{row['parameters']:,}",
        }
        for row in found["rows"]
    ]
    print_bench(found, rows, only_json=options.json)


def depth(options: argparse.Namespace) -> None:
    """Measures stacks of more and more equal modules."""
    from gim_tf.bench.depth import measure

    found = measure(
        options.modules,
        batch_size=options.batch_size,
        steps=options.steps,
        threads=options.threads,
        report=say,
    )
    rows = [
        {
            "modules": row["modules"],
            "step": row["variant"],
            "s a step": f"{row['wall_s']['median']:.3f}",
            "parameters": f"{row['parameters']:,}",
            "peak MiB": f"{row['peak_mib_above_import']:.0f}",
            "without parameters": f"{row['beyond_parameters_mib']:.0f}",
            "by the batch": f"{row['activations_mib']:.1f}",
            "kept MiB": f"{row['kept_mib']:.1f}",
        }
        for row in found["rows"]
    ]
    print_bench(found, rows, only_json=options.json)


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
    shared.add_trade(parser)
    _add_batch_size(parser)
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
    _add_steps(parser, 6)
    parser.add_argument(
        "--interactive",
        action="store_true",
        help="for a driver: after the warm-up, answer each line `step N` of "
        "standard input with a line of JSON",
    )


def _add_profile(added: Any) -> None:
    parser = shared.verb(
        added,
        "profile",
        profile,
        "a step's milliseconds by operation and module, and its timeline",
        "gim bench profile --experiment stl10_gim --batch-size 4 "
        "--output timeline.png",
    )
    shared.add_experiment(parser)
    shared.add_bench(parser)
    shared.add_trade(parser)
    _add_batch_size(parser)
    _add_steps(parser, 3)
    parser.add_argument(
        "--output", type=disk_path, metavar="FILE", help="PNG of the last step"
    )


def _add_memory(added: Any) -> None:
    parser = shared.verb(
        added,
        "memory",
        memory,
        "memory of a step: supervised, CPC, summed loss, freed tapes, modules",
        "gim bench memory --batch-size 4",
        "gim bench memory --experiment librispeech_gim --batch-size 2",
    )
    parser.add_argument(
        "--experiment",
        default="stl10_gim",
        metavar="NAME",
        help="one with _gim in its name; stl10_gim by default",
    )
    shared.add_set(parser)
    shared.add_bench(parser)
    _add_batch_size(parser)
    _add_steps(parser, 3)


def _add_depth(added: Any) -> None:
    parser = shared.verb(
        added,
        "depth",
        depth,
        "memory and seconds of a step against the number of modules",
        "gim bench depth --modules 1,2,5,10,20,50,100",
    )
    parser.add_argument(
        "--modules",
        type=shared.numbers,
        default=(1, 2, 5, 10, 20),
        metavar="N,N,...",
        help="1,2,5,10,20 by default",
    )
    parser.add_argument(
        "--batch-size", type=int, default=16, metavar="N", help="16 by default"
    )
    shared.add_bench(parser)
    _add_steps(parser, 3)


def _add_batch_size(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--batch-size",
        type=int,
        metavar="N",
        help="same as --set training.batch_size=N",
    )


def _add_steps(parser: argparse.ArgumentParser, default: int) -> None:
    parser.add_argument(
        "--steps",
        type=int,
        default=default,
        metavar="N",
        help=f"that are timed, after 2 to warm up; {default} by default",
    )


# What adds one sub-verb each, in the order of `gim bench --help`.
BENCHES: tuple[Callable[[Any], None], ...] = (
    _add_step,
    _add_profile,
    _add_memory,
    _add_depth,
    benching_io.add_data,
    benching_io.add_xla,
    benching_io.add_probe,
    benching_io.add_pipeline,
)
