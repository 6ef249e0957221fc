"""The job `export_flac`: an export of recordings once more, to decode FLAC."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gim_tf.export.manifest import read_manifest, versions
from gim_tf.export.saved_model import FLAC_FACTS, save_flac_variant
from gim_tf.inspection import model_card


def export_flac(
    model_dir: str | Path,
    flac_dir: str | Path,
    *,
    probes: Mapping[str, Any] | None = None,
) -> None:
    """Writes the FLAC variant of an export, with a model card of its own.

    Args:
      model_dir: the export, see `save_flac_variant`.
      flac_dir: replaced if it exists.
      probes: content of the probes.json of that export; None: it has no heads.

    Raises:
      ExportError: an export of something else, or no tensorflow-io.
    """
    manifest = {**read_manifest(model_dir), **FLAC_FACTS}
    card = model_card.render({**manifest, "versions": versions()}, probes or {})
    save_flac_variant(model_dir, flac_dir, card)
