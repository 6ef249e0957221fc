"""Places, options and cache keys of a pipeline; imports no TFX.

Everything that a component depends on reaches it as a parameter, so that TFX
can tell what to run again: the part of the experiment it reads, and a hash of
the source files whose code it runs (TFX itself hashes neither).
"""

import dataclasses
import functools
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import gim_tf
from gim_tf import config
from gim_tf.errors import ConfigError

_LIBRARY = Path(gim_tf.__file__).parent
_PIPELINES = Path(__file__).parent
_SECRET = re.compile(r"secret|passw|token|credential|api[-_]?key", re.I)

# Source files, below gim_tf/ or pipelines/, that decide a component's output.
INGEST_SOURCES = ("config", "data", "pipelines/ingest.py")
GATE_SOURCES = (
    "data/records.py",
    "pipelines/components.py",
    "pipelines/gate.py",
)
TRAINING_SOURCES = (
    "build.py",
    "config",
    "data",
    "encoders",
    "export",
    "initializers.py",
    "jobs/exporting.py",
    "jobs/pretraining.py",
    "losses",
    "module.py",
    "shapes.py",
    "stack.py",
    "training",
    "pipelines/trainer_module.py",
)
PROBE_SOURCES = (
    *TRAINING_SOURCES,
    "jobs/probing.py",
    "probes",
    "pipelines/components.py",
)
BLESS_SOURCES = ("pipelines/blessing.py", "pipelines/components.py")
PUSH_SOURCES = ("export", "pipelines/components.py", "pipelines/pusher.py")
REPORT_SOURCES = (
    "inspection",
    "jobs/reporting.py",
    "pipelines/components.py",
)


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where a pipeline reads and writes; local paths or URLs.

    Attributes:
      pipeline_root: artifacts, one folder a component and execution.
      serving_dir: numbered versions of pushed models.
      training_dir: checkpoints, one folder a training configuration; kept
        outside of `pipeline_root`, where TFX deletes what a failed component
        wrote.
      tensorboard_dir: TensorBoard logs, one folder a training configuration.
      schema_file: the schema of the records.
    """

    pipeline_root: str
    serving_dir: str
    training_dir: str
    tensorboard_dir: str
    schema_file: str

    @classmethod
    def under(cls, directory: str, *, name: str, schema_file: str) -> "Places":
        """The usual places below one output directory.

        Args:
          directory: the output directory.
          name: of the experiment, and of the served model.
          schema_file: see `Places`.
        """
        root = directory.rstrip("/")
        return cls(
            pipeline_root=f"{root}/pipeline",
            serving_dir=f"{root}/serving/{name}",
            training_dir=f"{root}/training",
            tensorboard_dir=f"{root}/tensorboard",
            schema_file=schema_file,
        )


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a pipeline runs; nothing in here changes a result.

    Attributes:
      beam_args: flags of Beam's runner; none means in memory, in this
        process. They are stored in clear with the metadata.
      enable_cache: reuse outputs of components whose inputs are the same.
      resume: "auto", "never", or a checkpoint, see `gim_tf.jobs.pretrain`.
      baseline: which blessed model the new one is compared with. "other" is
        the newest blessed one besides itself, which leaves a repeated run
        cached; "latest" is TFX's own strategy, the only one Vertex knows.
    """

    beam_args: tuple[str, ...] = ()
    enable_cache: bool = True
    resume: str = "auto"
    baseline: Literal["other", "latest"] = "other"

    def __post_init__(self) -> None:
        for flag in self.beam_args:
            if _SECRET.search(flag.partition("=")[0]):
                raise ConfigError(
                    f"Beam flag {flag.partition('=')[0]} looks like a secret "
                    "and would be stored in clear; use Application Default "
                    "Credentials instead."
                )


@functools.cache
def source_hash(names: tuple[str, ...]) -> str:
    """Short hash of the Python files behind `names`, as they were at first.

    Args:
      names: files or folders below gim_tf/, or below pipelines/ when they
        start with "pipelines/"; those that do not exist count as empty.
    """
    digest = hashlib.sha256()
    for name in sorted(names):
        for file in _python_files(name):
            digest.update(f"{name}/{file.name}".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def data_part(experiment: config.Experiment) -> dict[str, Any]:
    """What decides the records: the source, not the limits of the gate."""
    return config.to_dict(_ungated(experiment.data))


def data_config(part: dict[str, Any]) -> config.DataConfig:
    """Inverse of `data_part`."""
    names = tuple(part["class_names"])
    return config.DataConfig(**{**part, "class_names": names})


def training_part(experiment: config.Experiment) -> config.Experiment:
    """The experiment with all that does not decide the weights at default."""
    return dataclasses.replace(
        probe_part(experiment), probe=config.ProbeConfig()
    )


def probe_part(experiment: config.Experiment) -> config.Experiment:
    """The experiment with all that does not decide the probes at default."""
    return dataclasses.replace(
        experiment,
        summary="",
        paper="",
        cost="",
        data=_ungated(experiment.data),
        blessing=config.BlessingConfig(),
    )


def training_run(experiment: config.Experiment, data_fingerprint: str) -> str:
    """Name of the folder of checkpoints: new for new settings, data or code.

    Continuing from a checkpoint under other settings, data or code would end
    in weights that nothing can produce again.
    """
    settings = config.fingerprint(training_part(experiment))
    code = source_hash(TRAINING_SOURCES)
    rest = hashlib.sha256(f"{data_fingerprint} {code}".encode()).hexdigest()
    return f"{settings}-{rest[:8]}"


def _ungated(data: config.DataConfig) -> config.DataConfig:
    return dataclasses.replace(data, max_bad=0, min_examples=1)


def _python_files(name: str) -> list[Path]:
    base, _, below = name.partition("/")
    path = _PIPELINES / below if base == "pipelines" else _LIBRARY / name
    if path.is_dir():
        return sorted(path.rglob("*.py"))
    return [path] if path.is_file() else []
