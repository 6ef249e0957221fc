"""Writing and loading encoders as SavedModels, whole or not at all."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from gim_tf.errors import ExportError
from gim_tf.export.manifest import (
    read_manifest,
    verify_manifest,
    write_manifest,
)
from gim_tf.export.signatures import Classifier, Encoder

EXPERIMENT_ASSET = Path("assets.extra") / "experiment.json"


def save_encoder(
    encoder: Encoder, directory: str | Path, facts: Mapping[str, Any]
) -> None:
    """Writes the encoder, its configuration and its manifest.

    Args:
      encoder: see `Encoder` for the signatures.
      directory: replaced if it exists.
      facts: recorded in the manifest; `facts["experiment"]` also as an asset.

    Raises:
      ExportError: it could not be written.
    """
    _save(encoder, encoder.signatures(), Path(directory), facts)


def load_encoder(directory: str | Path) -> Any:
    """Loads an export after checking every file against its manifest.

    Returns:
      What `tf.saved_model.load` returns: call `.signatures[name](...)`.

    Raises:
      ExportError: missing, incomplete or altered.
    """
    verify_manifest(directory)
    try:
        return tf.saved_model.load(str(directory))
    except (OSError, tf.errors.OpError, ValueError) as error:
        raise ExportError(f"{directory} cannot be loaded: {error}.") from error


def signature_function(
    loaded: Any, name: str
) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """A signature of one input as a function of one positional argument."""
    signature = loaded.signatures[name]
    (argument,) = signature.structured_input_signature[1]
    return lambda batch: signature(**{argument: batch})


def save_classifier(
    encoder_directory: str | Path,
    directory: str | Path,
    *,
    module: str,
    kernel: tf.Tensor,
    bias: tf.Tensor,
    class_names: Sequence[str],
    facts: Mapping[str, Any],
) -> None:
    """Writes an exported encoder again, with a linear head beside it.

    The encoder's graph and weights are those of the loaded export: what was
    probed is what is served.

    Args:
      encoder_directory: of the export that was probed.
      directory: replaced if it exists.
      module: key of the representation that the head reads.
      kernel: [d, c] float32.
      bias: [c] float32.
      class_names: c names.
      facts: added to the encoder's own in the manifest.
    """
    known = read_manifest(encoder_directory)
    inherited = {
        key: value
        for key, value in known.items()
        if key not in ("files", "versions")
    }
    classifier = Classifier(
        load_encoder(encoder_directory),
        module=module,
        kernel=kernel,
        bias=bias,
        class_names=class_names,
    )
    _save(
        classifier,
        classifier.signatures(),
        Path(directory),
        {**inherited, **facts},
    )


def _save(
    module: tf.Module,
    signatures: Mapping[str, Any],
    directory: Path,
    facts: Mapping[str, Any],
) -> None:
    partial = directory.with_name(f"{directory.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        tf.saved_model.save(module, str(partial), signatures=dict(signatures))
        asset = partial / EXPERIMENT_ASSET
        asset.parent.mkdir(exist_ok=True)
        asset.write_text(
            json.dumps(facts.get("experiment"), indent=2, sort_keys=True) + "\n"
        )
        write_manifest(partial, facts)
        _replace(directory, partial)
    except (OSError, tf.errors.OpError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise ExportError(
            f"Could not write {directory}: {error}. Nothing was replaced."
        ) from error


def _replace(directory: Path, partial: Path) -> None:
    """Puts a new directory in the place of an old one, which stays if it fails.

    A process that dies between the two renames leaves `<directory>.old`.
    """
    old = directory.with_name(f"{directory.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if directory.exists():
        directory.rename(old)
    partial.rename(directory)
    shutil.rmtree(old, ignore_errors=True)
