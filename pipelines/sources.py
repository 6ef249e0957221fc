"""The source files behind each component, hashed as part of its cache key.

TFX looks at a component's inputs and parameters only: without this, changed
code would be answered from the cache. Each list holds at least all that its
component imports, which tests/pipelines/test_sources.py checks.
"""

import functools
import hashlib
from pathlib import Path

import gim_tf
from gim_tf.export.manifest import versions

_LIBRARY = Path(gim_tf.__file__).parent
_PIPELINES = Path(__file__).parent
_HASHED = {".py", ".html", ".css", ".pbtxt"}

_RECORDS = (
    "accelerators.py",
    "data/alignments.py",
    "data/corpus.py",
    "data/pcm.py",
    "data/records.py",
    "data/shards.py",
    "paths.py",
)
# Files and folders, below gim_tf/ or pipelines/, that decide an output.
INGEST_SOURCES = (
    *_RECORDS,
    "config",
    "data/sources",
    "pipelines/ingest.py",
    "pipelines/parts.py",
)
GATE_SOURCES = (
    *INGEST_SOURCES,
    "pipelines/components.py",
    "pipelines/gate.py",
)
# What decides the weights: checkpoints are continued under this code only.
WEIGHT_SOURCES = (
    *_RECORDS,
    "build.py",
    "config",
    "data/flac.py",
    "data/heldout.py",
    "data/input_pipeline.py",
    "data/patches.py",
    "data/views.py",
    "data/windows.py",
    "encoders",
    "initializers.py",
    "jobs/deciding.py",
    "jobs/decoupled_division.py",
    "jobs/decoupled_part.py",
    "jobs/decoupled_plan.py",
    "jobs/decoupled_worker.py",
    "jobs/decoupling.py",
    "jobs/opening.py",
    "jobs/pretraining.py",
    "jobs/run_log.py",
    "jobs/supervising.py",
    "losses",
    "module.py",
    "parts.py",
    "recomputation.py",
    "shapes.py",
    "stack.py",
    "training",
)
_SHOWN = tuple(
    f"inspection/{name}.py"
    for name in (
        "confusion",
        "curves",
        "facts",
        "phones",
        "pictures",
        "plots",
        "samples",
        "spectrograms",
        "style",
        "tasks",
        "tensorboard",
    )
)
# Warm-up requests hold a file of the model's kind.
_EXPORT = ("data/sources/verify.py", "data/wav.py", "export")
_CARD = (
    "inspection/curves.py",
    "inspection/facts.py",
    "inspection/model_card.py",
    "inspection/pages.py",
    "inspection/style.py",
    "inspection/summary_table.py",
    "inspection/tasks.py",
    "inspection/templates",
)
TRAINING_SOURCES = (
    *WEIGHT_SOURCES,
    *_SHOWN,
    "data/spectra.py",
    *_EXPORT,
    "jobs/exporting.py",
    "pipelines/job_environment.py",
    "pipelines/mounts.py",
    "pipelines/staging.py",
    "pipelines/trainer_module.py",
)
PROBE_SOURCES = (
    *TRAINING_SOURCES,
    *_CARD,
    "inspection/neuron_pictures.py",
    "inspection/neurons.py",
    "inspection/projector.py",
    "jobs/exciting.py",
    "jobs/controls.py",
    "jobs/probed.py",
    "jobs/probing.py",
    "jobs/probing_examples.py",
    "jobs/probing_sequences.py",
    "probes",
    "pipelines/components.py",
)
READER_SOURCES = (
    *WEIGHT_SOURCES,
    *_CARD,
    *_EXPORT,
    "jobs/exporting_flac.py",
    "pipelines/components.py",
    "pipelines/staging.py",
    # Of the Evaluator, whose own key does not see it but sees a new model.
    "pipelines/evaluator_module.py",
)
BLESS_SOURCES = ("pipelines/blessing.py", "pipelines/components.py")
PUSH_SOURCES = (
    "export/manifest.py",
    "paths.py",
    "pipelines/components.py",
    "pipelines/pusher.py",
    "pipelines/staging.py",
)
REPORT_SOURCES = (
    "config",
    "data/corpus.py",
    "data/pcm.py",
    "data/spectra.py",
    "experiments",
    "export/manifest.py",
    "inspection",
    "jobs/probed.py",
    "jobs/reporting.py",
    "paths.py",
    "pipelines/components.py",
    "pipelines/evaluation.py",
    "pipelines/staging.py",
    "probes/linear_probe.py",
)


@functools.cache
def source_hash(names: tuple[str, ...]) -> str:
    """Short hash of the files behind `names`, as they were at first.

    The versions of the packages that decide results are part of it.

    Args:
      names: files or folders below gim_tf/, or below pipelines/ when they
        start with "pipelines/"; those that do not exist count as empty.
    """
    packages = {k: v for k, v in versions().items() if k != "gim_tf"}
    digest = hashlib.sha256(str(sorted(packages.items())).encode())
    for name in sorted(set(names)):
        for file in source_files(name):
            below = file.relative_to(_LIBRARY.parent).as_posix()
            digest.update(f"{below} {file.stat().st_size}\n".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def source_files(name: str) -> list[Path]:
    """The files behind one name, see `source_hash`."""
    base, _, below = name.partition("/")
    path = _PIPELINES / below if base == "pipelines" else _LIBRARY / name
    if path.is_dir():
        return sorted(p for p in path.rglob("*") if p.suffix in _HASHED)
    return [path] if path.is_file() else []
