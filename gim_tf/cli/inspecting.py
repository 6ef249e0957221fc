"""`gim neurons`: what excites single neurons, as a picture."""

import argparse
from pathlib import Path
from typing import Any

from gim_tf.cli import shared
from gim_tf.cli.printing import print_table
from gim_tf.cli.shared import disk_path
from gim_tf.errors import ConfigError, DataError


def add_neurons(added: Any) -> None:
    """The verb `neurons`."""
    parser = shared.verb(
        added,
        "neurons",
        neurons,
        "show what excites single neurons of each module most",
        "gim neurons --output-dir outputs/lib --output neurons.png",
        "gim neurons --output-dir outputs/lib --neurons 3,17,42 -k 8 "
        "--output chosen.png",
        "gim neurons --model model/ --records records/ --split train "
        "--output train.png",
    )
    _add_places(parser)
    parser.add_argument(
        "--split", metavar="NAME", help="none: the experiment's test split"
    )
    parser.add_argument(
        "-k",
        "--k",
        type=int,
        default=4,
        metavar="K",
        help="positions of each neuron (4)",
    )
    parser.add_argument(
        "--per-module",
        type=int,
        metavar="N",
        help="neurons of each module: those that vary most, without repeats; "
        "4 of patches, 2 of recordings by default",
    )
    parser.add_argument(
        "--neurons",
        type=shared.numbers,
        default=(),
        metavar="N,N,...",
        help="these channels of every module instead, counted from 0",
    )
    parser.add_argument(
        "--repeats",
        action="store_true",
        help="several positions of one picture or recording may be shown",
    )
    parser.add_argument(
        "--output",
        type=disk_path,
        required=True,
        metavar="FILE.png",
        help="beside it FILE.json has ids, positions and activations",
    )


def neurons(options: argparse.Namespace) -> None:
    """Writes the picture, and prints the most exciting position of each."""
    model, records = _places(options)
    if options.output.suffix != ".png":
        raise ConfigError(
            f"--output must end in .png, received {options.output}."
        )
    from gim_tf import jobs

    found = jobs.neurons(
        model,
        records,
        options.output,
        split=options.split,
        k=options.k,
        per_module=options.per_module,
        indices=options.neurons,
        one_per_example=not options.repeats,
    )
    print_table(
        [
            {
                "module": one["module"],
                "neuron": one["neuron"],
                "mean": f"{one['mean']:.3g}",
                "most": f"{one['hits'][0]['activation']:.3g}",
                "at": one["hits"][0]["id"],
            }
            for one in found.neurons
        ]
    )
    print(f"\nPicture: {options.output}")
    print(f"Data:    {options.output.with_suffix('.json')}")


def _add_places(parser: argparse.ArgumentParser) -> None:
    """Where the model and the records lie."""
    parser.add_argument(
        "--output-dir",
        type=disk_path,
        metavar="DIR",
        help="of `gim pretrain` and `gim probe`: its model and its records",
    )
    parser.add_argument(
        "--model", type=disk_path, metavar="DIR", help="a SavedModel directory"
    )
    parser.add_argument(
        "--records", type=disk_path, metavar="DIR", help="that ingest wrote"
    )


def _places(options: argparse.Namespace) -> tuple[Path, Path]:
    """The model and the records."""
    run = options.output_dir
    model = options.model or (run and run / "model")
    records = options.records or (run and run / "records")
    if model is None or records is None:
        raise ConfigError("Give --output-dir, or --model and --records.")
    if run and not model.is_dir():
        raise DataError(
            f"{model} is missing; run `gim export` or `gim probe` there, or "
            "give --model and --records."
        )
    return model, records
