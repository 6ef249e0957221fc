"""Places and options of a pipeline; imports no TFX.

Everything that a component depends on reaches it as a parameter, so that TFX
can tell what to run again: the part of the experiment it reads (`parts`), and
a hash of the source files whose code it runs (`sources`).
"""

import hashlib
from dataclasses import dataclass
from typing import Literal

from gim_tf import config
from gim_tf.errors import ConfigError
from pipelines.mounts import mounted
from pipelines.parts import training_part
from pipelines.secrecy import check_flag
from pipelines.sources import WEIGHT_SOURCES, source_hash


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
      jobs_dir: on Vertex AI, one folder a training configuration, in place of
        those below `training_dir` and `tensorboard_dir`: a custom job names
        its folders itself, and its container is told them.
    """

    pipeline_root: str
    serving_dir: str
    training_dir: str
    tensorboard_dir: str
    schema_file: str
    jobs_dir: str | None = None

    def checkpoints(self, run: str) -> str:
        """The folder of a training's checkpoints, a path to those who train.

        Args:
          run: see `training_run`.
        """
        if self.jobs_dir is not None:
            return mounted(f"{self.jobs_dir}/{run}/checkpoints")
        return f"{self.training_dir}/{run}"

    def logs(self, run: str) -> str:
        """The folder of a training's TensorBoard logs."""
        if self.jobs_dir is not None:
            return f"{self.jobs_dir}/{run}/logs"
        return f"{self.tensorboard_dir}/{run}"

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
    """How a pipeline runs; only a checkpoint to resume changes a result.

    Attributes:
      beam_args: flags of Beam's runner; none means in memory, in this
        process. They are stored in clear with the metadata.
      enable_cache: reuse outputs of components whose inputs are the same;
        False runs all of them. A finished training is restored from its last
        checkpoint then, not repeated: for that, remove its folder.
      resume: "auto": from the newest checkpoint, if any; "never": refuse to
        run where there is one; else the checkpoint's prefix, see
        `gim_tf.jobs.pretrain`. Only the last is part of the cache key.
      baseline: which blessed model the new one is compared with. "other" is
        the newest blessed one besides itself, which leaves a repeated run
        cached; "latest" is TFX's own strategy, the only one Vertex knows.
      bulk_infer: also embed all records, by TFX's BulkInferrer, with a model
        that was blessed; of pictures only, see `check_bulk_infer`.
    """

    beam_args: tuple[str, ...] = ()
    enable_cache: bool = True
    resume: str = "auto"
    baseline: Literal["other", "latest"] = "other"
    bulk_infer: bool = False

    def __post_init__(self) -> None:
        for flag in self.beam_args:
            check_flag(flag)


def training_run(experiment: config.Experiment, data_fingerprint: str) -> str:
    """Name of the folder of checkpoints: new for new settings, data or code.

    Continuing from a checkpoint under other settings, data or code would end
    in weights that nothing can produce again. The code that reads the source
    counts by the records it writes, which the Trainer compares.
    """
    settings = config.fingerprint(training_part(experiment))
    code = source_hash(WEIGHT_SOURCES)
    rest = hashlib.sha256(f"{data_fingerprint} {code}".encode()).hexdigest()
    return f"{settings}-{rest[:8]}"


def check_bulk_infer(experiment: config.Experiment) -> None:
    """Raises `ConfigError` for what the BulkInferrer cannot embed.

    It asks for all answers of a signature, of up to a thousand records at
    once: of recordings these are the frames of all modules, 17 MB for 15 s
    through the paper's encoder. And their records are FLAC, which the model
    that is pushed does not decode.
    """
    if isinstance(experiment.view, config.WindowViewConfig):
        raise ConfigError(
            "--bulk-infer takes experiments on pictures: of recordings it "
            f"would hold every frame of every module; {experiment.name!r} is "
            "on recordings. Leave it out, and embed the records with `gim "
            "embed OUTPUT_DIR/pipeline/RecordGen/examples/ID --model MODEL "
            "--output FILE.parquet`."
        )


def is_path(resume: str) -> bool:
    """Whether `Options.resume` names a checkpoint."""
    return resume not in ("auto", "never")
