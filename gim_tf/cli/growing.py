"""`gim grow`: modules one after the other, until they help no more."""

import argparse
from typing import Any

from gim_tf.cli import shared, verbs
from gim_tf.cli.printing import installed, print_table, say
from gim_tf.cli.shared import disk_path


def add_grow(added: Any) -> None:
    """The verb."""
    parser = shared.verb(
        added,
        "grow",
        grow,
        "stack one trained module on the next until probes improve no more",
        "gim grow --experiment fashion_mnist_gim --output-dir outputs/grown "
        "--set training.num_steps=300",
        "gim grow --experiment fashion_mnist_gim --from outputs/lib "
        "--output-dir outputs/grown --tolerance 0.005",
    )
    shared.add_experiment(parser)
    shared.add_output(parser)
    parser.add_argument(
        "--from",
        dest="start",
        type=disk_path,
        metavar="RUN",
        help="a directory of `gim pretrain`, of the first modules; none: they "
        "are trained first",
    )
    parser.add_argument(
        "--max-modules",
        type=int,
        metavar="N",
        help="of the network; none: as many as help",
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        default=0.002,
        metavar="SHARE",
        help="growing goes on while the probe's accuracy, on labels that "
        "neither it nor the test split has, rises by this much; 0.002 by "
        "default",
    )


def grow(options: argparse.Namespace) -> None:
    """Grows, and prints the table."""
    experiment = shared.resolved(options)
    directory = options.output_dir
    verbs.writable(directory)
    from gim_tf.inspection import growth
    from gim_tf.jobs.growing import Limits, Start
    from gim_tf.jobs.growing import grow as job

    start = None
    if options.start is not None:
        start = Start(verbs.recorded(options.start), options.start)
    found = job(
        experiment,
        directory,
        limits=Limits(options.tolerance, options.max_modules),
        start=start,
    )
    print_table(growth.rows(found))
    print(f"\n{growth.conclusion(found)}")
    print(f"Table:       {directory / 'growth.md'}")
    best = directory / f"depth_{found['best_depth']}"
    say(f"Next: {installed('gim')} probe --output-dir {best}")
