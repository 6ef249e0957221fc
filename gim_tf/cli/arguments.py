"""The words of the `gim` command: verbs, options, help and examples."""

import argparse
from collections.abc import Sequence
from typing import Any

from gim_tf import __version__
from gim_tf.cli import (
    authors,
    benching,
    clouding,
    decoupling,
    deploying,
    embedding,
    growing,
    inspecting,
    parallel,
    planning,
    shared,
    studying,
    verbs,
)
from gim_tf.cli.shared import disk_path
from gim_tf.paths import as_path

_BEAM = "--beam-args"


def parser() -> argparse.ArgumentParser:
    """The parser; a parsed command has its function as `verb`."""
    command = argparse.ArgumentParser(
        prog="gim",
        description="Greedy InfoMax: gradient-isolated self-supervised "
        "learning.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n"
        "  gim experiments\n"
        "  gim run --experiment fashion_mnist_gim --output-dir outputs/first\n"
        "  gim pretrain --experiment fashion_mnist_gim --output-dir outputs/lib"
        " --set training.num_steps=200\n\n"
        "`gim VERB --help` shows more.",
    )
    command.add_argument(
        "--version", action="version", version=f"gim_tf {__version__}"
    )
    added = command.add_subparsers(title="verbs", metavar="VERB", required=True)
    _add_run(added)
    _add_pretrain(added)
    growing.add_grow(added)
    _add_export(added)
    _add_probe(added)
    _add_report(added)
    _add_experiments(added)
    _add_embed(added)
    _add_neighbors(added)
    inspecting.add_neurons(added)
    _add_serve(added)
    _add_serve_check(added)
    deploying.add_deploy(added)
    authors.add_import_weights(added)
    authors.add_export_weights(added)
    authors.add_golden_check(added)
    studying.add_study(added)
    benching.add_bench(added)
    planning.add_plan(added)
    return command


def parse(words: Sequence[str]) -> argparse.Namespace:
    """The options of a command; ends the process where they are none.

    The flags of `--beam-args` are one word that begins as an option does, of
    which some (`--runner`) are also ours: argparse would take it for that.
    """
    joined = list(words)
    for place in range(len(joined) - 2, -1, -1):
        if joined[place] == _BEAM:
            joined[place : place + 2] = [f"{_BEAM}={joined[place + 1]}"]
    return parser().parse_args(joined)


def _add_run(added: Any) -> None:
    parser = shared.verb(
        added,
        "run",
        verbs.run,
        "run the whole pipeline: ingest, pretrain, probe, export, report",
        "gim run --experiment fashion_mnist_gim --output-dir outputs/first",
        "gim run --experiment stl10_gim --data stl10_binary/ "
        "--output-dir outputs/stl10",
        "gim run --experiment fashion_mnist_gim --runner vertex --project P "
        "--region R --image IMAGE --pipeline-root gs://BUCKET/gim --dry-run",
    )
    shared.add_experiment(parser)
    shared.add_output(parser, required=False)
    shared.add_trade(parser)
    shared.add_beam_args(parser)
    parser.add_argument(
        "--no-cache",
        action="store_true",
        help="run every component, also those whose inputs are unchanged",
    )
    parser.add_argument(
        "--bulk-infer",
        action="store_true",
        help="of pictures: also embed all records, by TFX's BulkInferrer, if "
        "the model is blessed: DIR/embeddings.parquet",
    )
    shared.add_resume(parser)
    clouding.add_vertex(parser)


def _add_pretrain(added: Any) -> None:
    parser = shared.verb(
        added,
        "pretrain",
        verbs.pretrain,
        "train the modules, with the library only (no TFX)",
        "gim pretrain --experiment fashion_mnist_gim --output-dir outputs/lib "
        "--set training.num_steps=200",
        "gim pretrain --experiment fashion_mnist_gim --output-dir outputs/two "
        "--schedule decoupled --workers 2",
    )
    shared.add_experiment(parser)
    shared.add_output(parser, remote=True)
    shared.add_trade(parser)
    parallel.add_strategy(parser)
    shared.add_resume(parser)
    decoupling.add_decoupled(parser)


def _add_export(added: Any) -> None:
    parser = shared.verb(
        added,
        "export",
        verbs.export,
        "write a pretrained encoder as a SavedModel",
        "gim export --output-dir outputs/lib",
        "gim export --output-dir outputs/speech --flac",
    )
    shared.add_output(parser, remote=True)
    parser.add_argument(
        "--flac",
        action="store_true",
        help="of recordings: also write model_flac/, which decodes FLAC and "
        "needs tensorflow-io where it is served",
    )


def _add_probe(added: Any) -> None:
    parser = shared.verb(
        added,
        "probe",
        verbs.probe,
        "probe every module of an exported encoder",
        "gim probe --output-dir outputs/lib --set probe.epochs=20",
    )
    shared.add_output(parser, remote=True)
    parser.add_argument(
        "--controls",
        type=as_path,
        metavar="DIR",
        help="where scores of raw input and of the untrained network are kept "
        "and found, for runs on the same data; by default they are made anew",
    )
    shared.add_set(parser)


def _add_report(added: Any) -> None:
    parser = shared.verb(
        added,
        "report",
        verbs.report,
        "write report.html and summary.json of a finished run again",
        "gim report --output-dir outputs/first",
    )
    shared.add_output(parser, remote=True)


def _add_experiments(added: Any) -> None:
    parser = shared.verb(
        added,
        "experiments",
        verbs.list_experiments,
        "list experiments with their data, cost and row in the paper",
        "gim experiments --json",
    )
    parser.add_argument("--json", action="store_true", help="for machines")


def _add_embed(added: Any) -> None:
    parser = shared.verb(
        added,
        "embed",
        embedding.embed,
        "write the representations of files, by an exported encoder",
        "gim embed photos/*.png --model outputs/first/serving/"
        "fashion_mnist_gim/1 --output embeddings.npz",
        "gim embed outputs/lib/records --split test --model outputs/lib/model "
        "--output test.parquet",
        "gim embed recordings/ --model outputs/speech/model --output "
        'speech.parquet --beam-args "--runner=DirectRunner '
        '--direct_running_mode=multi_processing --direct_num_workers=2"',
    )
    parser.add_argument(
        "source",
        nargs="+",
        metavar="SOURCE",
        help="files, or a folder (all pictures or recordings below it), or a "
        "directory of records that ingest wrote",
    )
    parser.add_argument(
        "--model", type=disk_path, required=True, help="a SavedModel directory"
    )
    parser.add_argument(
        "--output",
        type=disk_path,
        required=True,
        help=".npz, of files: `id` and one array [n, d] a module; or .parquet, "
        "a directory of shards, continued if it was not finished",
    )
    parser.add_argument(
        "--split", metavar="NAME", help="of records: the only one; none: all"
    )
    parser.add_argument(
        "--max-bad",
        type=int,
        default=0,
        metavar="N",
        help="to .parquet: items that may be unreadable; all are listed in "
        "OUTPUT.rejected.jsonl",
    )
    parser.add_argument(
        "--projector",
        type=disk_path,
        metavar="DIR",
        help="to .parquet: also write them for TensorBoard's projector",
    )
    shared.add_beam_args(parser)


def _add_neighbors(added: Any) -> None:
    parser = shared.verb(
        added,
        "neighbors",
        embedding.neighbors,
        "find what is nearest to one item, and show it on a page",
        "gim neighbors test.parquet --query test-00003 --output neighbors.html",
        "gim neighbors test.parquet --query shirt.png --module module_2 -k 24 "
        "--output neighbors.html",
    )
    parser.add_argument(
        "embeddings", type=disk_path, metavar="FILE.parquet", help="see `embed`"
    )
    parser.add_argument(
        "--query",
        required=True,
        metavar="ID_OR_FILE",
        help="an id of the embeddings, or a file, which is embedded",
    )
    parser.add_argument(
        "--model",
        type=disk_path,
        metavar="DIR",
        help="embeds a file; none: the one that made the embeddings",
    )
    parser.add_argument(
        "--module", metavar="NAME", help="such as module_3; none: the last"
    )
    parser.add_argument(
        "-k", type=int, default=12, metavar="K", help="neighbours (12)"
    )
    parser.add_argument(
        "--source",
        type=disk_path,
        metavar="PATH",
        help="where the folder or the records lie now, if they were moved",
    )
    parser.add_argument(
        "--output",
        type=disk_path,
        metavar="FILE.html",
        help="the page; none: none",
    )


def _add_serve(added: Any) -> None:
    parser = shared.verb(
        added,
        "serve",
        verbs.serve,
        "answer TF Serving's REST and gRPC interfaces, for development",
        "gim serve outputs/first/serving/fashion_mnist_gim --name gim",
    )
    parser.add_argument(
        "directory",
        type=disk_path,
        metavar="DIR",
        help="holds numbered versions",
    )
    parser.add_argument(
        "--name", required=True, help="of the model, in URLs and requests"
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on; by default none that others reach",
    )
    for protocol, port in (("rest", 8501), ("grpc", 8500)):
        parser.add_argument(
            f"--{protocol}-port",
            type=int,
            default=port,
            metavar="PORT",
            help=f"{port} by default; 0: any that is free",
        )
    parser.add_argument(
        "--max-body-mb",
        type=float,
        default=8.0,
        metavar="MB",
        help="refuse larger requests; 8 by default",
    )
    parser.add_argument(
        "--max-batch",
        type=int,
        default=256,
        metavar="N",
        help="refuse requests of more examples; 256 by default",
    )
    parser.add_argument(
        "--poll-seconds",
        type=float,
        default=1.0,
        metavar="S",
        help="between two looks for new versions; 1 by default",
    )


def _add_serve_check(added: Any) -> None:
    parser = shared.verb(
        added,
        "serve-check",
        verbs.serve_check,
        "check that TF Serving would load an exported model and answer",
        "gim serve-check outputs/first/serving/fashion_mnist_gim/1",
    )
    parser.add_argument(
        "directory", type=disk_path, metavar="DIR", help="of one version"
    )
