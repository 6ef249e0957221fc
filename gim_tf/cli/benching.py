"""`gim bench`: one sub-verb a measurement, all with a table and a JSON line."""

from collections.abc import Callable
from typing import Any

# What adds one sub-verb each, in the order of `gim bench --help`.
BENCHES: tuple[Callable[[Any], None], ...] = ()


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
