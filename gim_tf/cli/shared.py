"""How verbs are described, and the options that several of them have."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gim_tf import config, experiments
from gim_tf.config import Experiment
from gim_tf.errors import ConfigError
from gim_tf.paths import as_path, local_path

# The setting below `training` that each option stands for.
_TRAINING = {
    "seed": "seed",
    "batch_size": "batch_size",
    "schedule": "schedule",
    "strategy": "strategy",
    "precision": "precision",
    "recompute": "recompute_groups",
    "xla": "jit_compile",
}


def verb(
    added: Any,
    name: str,
    function: Callable[[argparse.Namespace], None],
    summary: str,
    *examples: str,
) -> argparse.ArgumentParser:
    """A verb with its function, help and examples."""
    parser = added.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n" + "\n".join(f"  {line}" for line in examples),
    )
    parser.set_defaults(verb=function)
    return parser


def add_experiment(
    parser: argparse.ArgumentParser, *, required: bool = True
) -> None:
    """The options that resolve an experiment."""
    parser.add_argument(
        "--experiment",
        required=required,
        metavar="NAME",
        help="see `experiments`",
    )
    parser.add_argument(
        "--data", metavar="PATH", help="same as --set data.path=PATH"
    )
    parser.add_argument(
        "--resample",
        action="store_true",
        help="of recordings: convert other sample rates, same as --set "
        "data.resample=true",
    )
    parser.add_argument(
        "--downmix",
        action="store_true",
        help="of recordings: average channels, same as --set data.downmix=true",
    )
    parser.add_argument(
        "--seed", type=int, metavar="N", help="same as --set training.seed=N"
    )
    add_set(parser)


def add_trade(parser: argparse.ArgumentParser) -> None:
    """What training trades time, memory and digits with."""
    parser.add_argument(
        "--precision",
        choices=("float32", "mixed_bfloat16", "mixed_float16"),
        help="of activations and products, same as --set "
        "training.precision=...; default: the experiment's, float32",
    )
    parser.add_argument(
        "--recompute",
        type=int,
        metavar="N",
        help="compute a module's activations twice instead of keeping them, "
        "in N groups of a batch, same as --set training.recompute_groups=N",
    )
    parser.add_argument(
        "--xla",
        action="store_const",
        const=True,
        help="let XLA compile each module's part of a step, same as --set "
        "training.jit_compile=true",
    )


def resolved(options: argparse.Namespace) -> Experiment:
    """The experiment that these options describe, as many as there are."""
    overrides = list(options.set)
    if getattr(options, "data", None) is not None:
        overrides.append(f"data.path={options.data!r}")
    for flag in ("resample", "downmix"):
        if getattr(options, flag, False):
            overrides.append(f"data.{flag}=true")
    for name, key in _TRAINING.items():
        value = getattr(options, name, None)
        if value is not None:
            overrides.append(f"training.{key}={value}")
    return config.resolve(experiments.get(options.experiment), overrides)


def add_set(parser: argparse.ArgumentParser) -> None:
    """`--set`, which may be repeated."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a setting by its dotted path, such as "
        "training.num_steps=200; may be repeated",
    )


def add_output(
    parser: argparse.ArgumentParser,
    *,
    required: bool = True,
    remote: bool = False,
) -> None:
    """`--output-dir`, which may be a URL if `remote`."""
    urls = ", or a URL, such as gs://BUCKET/RUN" if remote else ""
    parser.add_argument(
        "--output-dir",
        type=as_path if remote else disk_path,
        required=required,
        metavar="DIR",
        help=f"all files of the run; continued if it exists{urls}",
    )


def disk_path(text: str) -> Path:
    """What an option gives that is no URL."""
    try:
        return local_path(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def numbers(text: str) -> tuple[int, ...]:
    """The value of an option that takes N,N,..."""
    return tuple(int(number) for number in text.split(","))


def add_beam_args(parser: argparse.ArgumentParser) -> None:
    """`--beam-args`."""
    parser.add_argument(
        "--beam-args",
        default="",
        metavar="FLAGS",
        help="flags of Beam's runner, such as \"--runner=DirectRunner "
        '--direct_num_workers=2"; none: in memory',
    )


def add_resume(parser: argparse.ArgumentParser) -> None:
    """`--resume`."""
    parser.add_argument(
        "--resume",
        default="auto",
        metavar="auto|never|PATH",
        help="auto: from the newest checkpoint, if any (default); never: "
        "only where there is none; PATH: from that checkpoint",
    )


def add_bench(parser: argparse.ArgumentParser) -> None:
    """`--threads` and `--json`, which every bench has."""
    parser.add_argument(
        "--threads",
        type=int,
        default=0,
        metavar="N",
        help="in and between operations; 0: one a core (default)",
    )
    add_json(parser)


def add_json(parser: argparse.ArgumentParser) -> None:
    """`--json` of a bench."""
    parser.add_argument(
        "--json", action="store_true", help="only the line for machines"
    )
