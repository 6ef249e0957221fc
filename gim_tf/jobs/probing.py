"""The job `probe`: from an exported encoder to accuracies and a classifier."""

import json
from collections.abc import Sequence
from typing import Any

from gim_tf import config
from gim_tf.accelerators import grow_gpu_memory
from gim_tf.config import Experiment, ProbeConfig, SequenceProbeConfig
from gim_tf.data.records import count_records
from gim_tf.export.manifest import read_manifest, versions
from gim_tf.export.saved_model import load_encoder
from gim_tf.inspection import model_card, projector, tensorboard
from gim_tf.jobs.controls import Controls
from gim_tf.jobs.probed import by_task
from gim_tf.jobs.probing_examples import probe_examples
from gim_tf.jobs.probing_sequences import probe_sequences
from gim_tf.paths import AnyPath, as_path, check_known

_KINDS = {ProbeConfig: probe_examples, SequenceProbeConfig: probe_sequences}


def probe(
    experiment: Experiment,
    model_dir: AnyPath,
    train_files: Sequence[str],
    test_files: Sequence[str],
    output_dir: AnyPath,
    *,
    tensorboard_dir: AnyPath,
    controls_dir: AnyPath | None = None,
) -> dict[str, Any]:
    """Probes an exported encoder, and writes it again with classifiers.

    Writes `probes.json`, `neurons.json`, `pictures/*.png` and `model/`, the
    same SavedModel with heads on its last module and a model card.

    Args:
      experiment: probe settings, and the recipe of the untrained control.
      model_dir: the export; it is what is probed.
      train_files: TFRecord files that the probes are fitted on.
      test_files: TFRecord files that they are scored on.
      output_dir: created if missing.
      tensorboard_dir: for accuracies, confusion matrices and projector.
      controls_dir: where scores of controls are kept for other runs on the
        same data; None: they are made for this one.

    Returns:
      The content of `probes.json`: "tasks", by name in the order of
      `probe.tasks`, each with "modules", "controls", "confusion",
      "class_names" and "counts"; "settings" and "versions".

    Raises:
      DataError: a split without labels, or a file that is damaged.
      ExportError: the export is missing or altered.
    """
    check_known(tensorboard_dir)
    grow_gpu_memory()  # before TensorFlow starts on them
    count_records([*train_files, *test_files])  # names one that is damaged
    encoder, manifest = load_encoder(model_dir), read_manifest(model_dir)
    controls = Controls(experiment, [*train_files, *test_files], controls_dir)
    probed = _KINDS[type(experiment.probe)](
        experiment, encoder, train_files, test_files, controls
    )
    output = as_path(output_dir)
    output.mkdir(parents=True, exist_ok=True)
    facts = {"probes": by_task(probed.tasks, "modules")}
    result = {
        "tasks": probed.tasks,
        "settings": config.to_dict(experiment.probe),
        "versions": manifest["versions"],
    }
    card = model_card.render({**manifest, "versions": versions()}, result)
    probed.save(as_path(model_dir), output / "model", facts, card)
    for name, content in (("probes", result), ("neurons", probed.neurons)):
        text = json.dumps(content, indent=2) + "\n"
        (output / f"{name}.json").write_text(text)
    pictures = output / "pictures"
    pictures.mkdir(exist_ok=True)
    for name, png in probed.pictures.items():
        (pictures / f"{name}.png").write_bytes(png)
    log_dir = str(tensorboard_dir)
    tensorboard.write_pictures(log_dir, probed.pictures)
    tensorboard.write_probes(
        log_dir,
        probed.tasks,
        experiment=config.to_dict(experiment),
        step=manifest["step"],
    )
    projector.write_projector(
        log_dir, probed.features, probed.metadata, views=probed.views
    )
    return result
