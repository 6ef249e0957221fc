"""`gim bench data`, `probe` and `pipeline`: what surrounds a training step."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gim_tf.cli import shared
from gim_tf.cli.printing import print_bench


def data(options: argparse.Namespace) -> None:
    """Times the input pipeline."""
    experiment = shared.resolved(options)
    from gim_tf.bench.data import measure

    found = measure(
        experiment,
        options.output_dir and options.output_dir / "records",
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
    parser.add_argument(
        "--output-dir",
        type=Path,
        metavar="DIR",
        help="of `gim pretrain`: its records are read, or written if there "
        "are none; not given: written for this alone",
    )
    parser.add_argument(
        "--steps",
        type=int,
        default=40,
        metavar="N",
        help="that are timed, after as many to warm up; 40 by default",
    )
    shared.add_bench(parser)


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
