"""`gim import-weights`, `export-weights`, `golden-check`: the authors' code."""

import argparse
from typing import Any

from gim_tf import config
from gim_tf.cli import shared
from gim_tf.cli.printing import installed, say
from gim_tf.cli.shared import disk_path
from gim_tf.cli.verbs import SETTINGS_FILE, recorded, writable
from gim_tf.errors import GoldenError


def add_import_weights(added: Any) -> None:
    """The verb."""
    parser = shared.verb(
        added,
        "import-weights",
        import_weights,
        "start from weights that the authors' PyTorch code has trained",
        "gim import-weights --experiment stl10_gim --weights model_300.npz "
        "--output-dir outputs/authors --data stl10_binary/",
        "gim probe --output-dir outputs/authors",
    )
    shared.add_experiment(parser)
    parser.add_argument(
        "--weights",
        type=disk_path,
        nargs="+",
        required=True,
        metavar="FILE",
        help=".npz or .safetensors: one of the whole model, or one a module, "
        "first to last",
    )
    shared.add_output(parser)


def add_export_weights(added: Any) -> None:
    """The verb."""
    parser = shared.verb(
        added,
        "export-weights",
        export_weights,
        "write a pretrained network's weights for the authors' PyTorch code",
        "gim export-weights --output-dir outputs/lib --output weights.npz",
    )
    shared.add_output(parser)
    parser.add_argument(
        "--output",
        type=disk_path,
        required=True,
        help=".npz: one array a parameter, under the authors' names",
    )


def add_golden_check(added: Any) -> None:
    """The verb."""
    parser = shared.verb(
        added,
        "golden-check",
        golden_check,
        "compare with arrays that the authors' code computed",
        "gim golden-check --goldens tests/goldens",
    )
    parser.add_argument(
        "--goldens",
        type=disk_path,
        required=True,
        metavar="DIR",
        help="holds manifest.json and one .npz a case",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="a last line for machines: cases, failed, worst",
    )


def import_weights(options: argparse.Namespace) -> None:
    """Loads weights; ingests too, if the data are at hand, for the probes."""
    from gim_tf import jobs
    from gim_tf.data.corpus import read_corpus
    from gim_tf.training.run_directory import RunDirectory

    experiment = shared.resolved(options)
    directory = options.output_dir
    writable(directory)
    run_directory = RunDirectory(directory)
    # Without data there is still the encoder to export.
    source = experiment.data.source
    has_data = experiment.data.path or source.startswith("embedded")
    with run_directory.locked():
        jobs.import_weights(
            experiment,
            options.weights,
            directory / "training",
            records_dir=directory / "records" if has_data else None,
        )
        if has_data:
            experiment = config.completed(
                experiment, read_corpus(directory / "records")
            )
        run_directory.write_json(SETTINGS_FILE, config.to_dict(experiment))
    verb = "probe" if has_data else "export"
    say(f"Next: {installed('gim')} {verb} --output-dir {directory}")
    if not has_data:
        say("To probe them too, import them again with --data.")


def export_weights(options: argparse.Namespace) -> None:
    """Writes the trained weights under the authors' names."""
    from gim_tf import jobs

    directory = options.output_dir
    count = jobs.export_weights(
        recorded(directory), directory / "training", options.output
    )
    print(f"{count} arrays in {options.output}")


def golden_check(options: argparse.Namespace) -> None:
    """Prints how near every array is, and fails where one is not."""
    from gim_tf import fidelity

    def progress(result: fidelity.CaseResult) -> None:
        verdict = "met" if result.passed else "NOT MET"
        say(f"{result.name}: {verdict}")

    results = fidelity.check_directory(options.goldens, progress)
    print(fidelity.as_text(results))
    if options.json:
        print(fidelity.as_json(results))
    failed = [result.name for result in results if not result.passed]
    if failed:
        raise GoldenError(
            f"{len(failed)} of {len(results)} cases are not met: "
            f"{', '.join(failed)}."
        )
