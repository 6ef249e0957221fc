"""Writing and loading encoders as SavedModels, whole or not at all."""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from gim_tf.accelerators import grow_gpu_memory
from gim_tf.data import flac
from gim_tf.errors import ExportError
from gim_tf.export.flac_variant import FlacVariant
from gim_tf.export.heads import Head
from gim_tf.export.inputs import Servable
from gim_tf.export.manifest import (
    read_manifest,
    verify_manifest,
    write_manifest,
)
from gim_tf.export.sequences import SequenceClassifier
from gim_tf.export.signatures import Classifier
from gim_tf.export.warmup import write_warmup
from gim_tf.paths import (
    AnyPath,
    Place,
    RemotePath,
    as_path,
    remove_tree,
    upload,
)

EXPERIMENT_ASSET = Path("assets.extra") / "experiment.json"
REQUIRES = "requires"
"""Key of the manifest: packages whose operations the graph holds."""
FLAC_FACTS = {REQUIRES: [flac.PACKAGE]}
"""What the manifest of a FLAC variant has besides."""


def save_encoder(
    encoder: Servable, directory: AnyPath, facts: Mapping[str, Any]
) -> None:
    """Writes the encoder, its configuration, warm-up requests and manifest.

    Args:
      encoder: see `Encoder` and `SequenceEncoder` for the signatures.
      directory: replaced if it exists.
      facts: recorded in the manifest; `facts["experiment"]` also as an asset.

    Raises:
      ExportError: it could not be written.
    """
    _save(encoder, as_path(directory), facts, {})


def load_encoder(directory: AnyPath) -> Any:
    """Loads an export after checking every file against its manifest.

    Returns:
      What `tf.saved_model.load` returns: call `.signatures[name](...)`.

    Raises:
      ExportError: missing, incomplete or altered, or a package that it
        requires is not installed.
    """
    verified(directory)
    grow_gpu_memory()  # others may share the GPU
    try:
        return tf.saved_model.load(str(directory))
    except (OSError, tf.errors.OpError, ValueError) as error:
        raise ExportError(f"{directory} cannot be loaded: {error}.") from error


def verified(directory: AnyPath) -> dict[str, Any]:
    """The manifest of an export that any loader may load after this.

    Raises:
      ExportError: see `load_encoder`.
    """
    manifest = verify_manifest(directory)
    if flac.PACKAGE in manifest.get(REQUIRES, ()):
        _register_flac(directory)
    return manifest


def input_name(loaded: Any, signature: str) -> str:
    """Name of the only input of a signature."""
    (name,) = loaded.signatures[signature].structured_input_signature[1]
    return name


def signature_function(
    loaded: Any, name: str
) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """A signature of one input as a function of one positional argument."""
    signature, argument = loaded.signatures[name], input_name(loaded, name)
    return lambda batch: signature(**{argument: batch})


def save_classifier(
    encoder_directory: AnyPath,
    directory: AnyPath,
    *,
    module: str,
    kernel: tf.Tensor,
    bias: tf.Tensor,
    class_names: Sequence[str],
    facts: Mapping[str, Any],
    documents: Mapping[str, str] | None = None,
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
      documents: texts for people by file name, beside the model.
    """
    head = Head(kernel, bias, class_names)
    _save_again(
        encoder_directory,
        directory,
        lambda encoder: Classifier(encoder, module=module, head=head),
        facts,
        documents,
    )


def save_sequence_classifier(
    encoder_directory: AnyPath,
    directory: AnyPath,
    *,
    module: str,
    example_head: Head | None = None,
    frame_head: Head | None = None,
    facts: Mapping[str, Any],
    documents: Mapping[str, str] | None = None,
) -> None:
    """Writes an exported encoder of recordings again, with heads beside it.

    See `save_classifier`, and `SequenceClassifier` for the signatures.

    Args:
      encoder_directory: of the export that was probed.
      directory: replaced if it exists.
      module: key of the representation that the heads read.
      example_head: of whole recordings; or None.
      frame_head: of single frames; or None, but not both.
      facts: added to the encoder's own in the manifest.
      documents: texts for people by file name, beside the model.
    """
    _save_again(
        encoder_directory,
        directory,
        lambda encoder: SequenceClassifier(
            encoder,
            module=module,
            example_head=example_head,
            frame_head=frame_head,
        ),
        facts,
        documents,
    )


def save_flac_variant(
    model_directory: AnyPath,
    directory: AnyPath,
    documents: Mapping[str, str] | None = None,
) -> None:
    """Writes an export of recordings again, to decode FLAC besides WAV.

    Graph and weights are those of the loaded export. The copy loads only where
    tensorflow-io is imported, as its manifest says; `load_encoder` does that.

    Args:
      model_directory: an encoder, with or without heads.
      directory: replaced if it exists.
      documents: texts for people by file name, beside the model.

    Raises:
      ExportError: an export of something else, or no tensorflow-io.
    """
    _register_flac(directory)
    _save_again(model_directory, directory, FlacVariant, FLAC_FACTS, documents)


def _register_flac(directory: AnyPath) -> None:
    try:
        flac.register_operations()
    except ImportError as error:
        raise ExportError(
            f"{directory} needs {flac.PACKAGE}, which cannot be imported "
            f"({str(error).splitlines()[0]}); install it, or use the export "
            "without FLAC."
        ) from error


def _save_again(
    source: AnyPath,
    directory: AnyPath,
    around: Callable[[Any], Servable],
    facts: Mapping[str, Any],
    documents: Mapping[str, str] | None = None,
) -> None:
    """Writes what is made around a loaded export; facts are added to its own.

    What the export's files were is left out: the copy has its own.
    """
    known = read_manifest(source)
    inherited = {
        key: value
        for key, value in known.items()
        if key not in ("files", "versions")
    }
    module = around(load_encoder(source))
    _save(module, as_path(directory), {**inherited, **facts}, documents or {})


def _save(
    module: Servable,
    directory: Place,
    facts: Mapping[str, Any],
    documents: Mapping[str, str],
) -> None:
    if isinstance(directory, RemotePath):
        _save_remote(module, directory, facts, documents)
        return
    partial = directory.with_name(f"{directory.name}.partial")
    try:
        remove_tree(partial)
        tf.saved_model.save(
            module, str(partial), signatures=module.signatures()
        )
        asset = partial / EXPERIMENT_ASSET
        asset.parent.mkdir(exist_ok=True)
        asset.write_text(
            json.dumps(facts.get("experiment"), indent=2, sort_keys=True) + "\n"
        )
        write_warmup(partial, facts)
        for name, text in documents.items():
            (partial / name).write_text(text, encoding="utf-8")
        write_manifest(partial, facts)
        _replace(directory, partial)
    except (OSError, tf.errors.OpError) as error:
        remove_tree(partial)
        raise ExportError(
            f"Could not write {directory}: {error}. Nothing was replaced."
        ) from error


def _save_remote(
    module: Servable,
    directory: RemotePath,
    facts: Mapping[str, Any],
    documents: Mapping[str, str],
) -> None:
    """Writes it on this machine, and copies it when it is whole."""
    with tempfile.TemporaryDirectory(prefix="gim-") as scratch:
        local = Path(scratch, "model")
        _save(module, local, facts, documents)
        try:
            upload(local, directory)
        except OSError as error:
            raise ExportError(
                f"Could not write {directory}: {error.strerror}. What is there "
                "may be incomplete; export it again."
            ) from error


def _replace(directory: Path, partial: Path) -> None:
    """Puts a new directory in the place of an old one, which stays if it fails.

    A process that dies between the two renames leaves `<directory>.old`.
    """
    old = directory.with_name(f"{directory.name}.old")
    remove_tree(old)
    if directory.exists():
        directory.rename(old)
    partial.rename(directory)
    remove_tree(old)
