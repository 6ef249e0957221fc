"""What all workers of a decoupled run must agree on, and who is one."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from gim_tf import config
from gim_tf.config import Experiment
from gim_tf.errors import CheckpointError, WorkerLostError
from gim_tf.training.run_directory import RunDirectory

_PLAN = "workers.json"
_DONE = "done.json"


@dataclass(frozen=True, kw_only=True)
class Workers:
    """Who trains the modules.

    Attributes:
      count: of workers; 0: one a module.
      kind: "threads" of this process, each on a device of its own where there
        are several; "processes" on this machine, which are started, watched
        and started again when they are killed; "cluster": this process is
        the first worker, and the others are started elsewhere.
      addresses: host:port of each worker of a cluster.
      silence_seconds: for which a worker waits for another before it gives
        it up. Longer than a module takes for `training.checkpoint_every`
        steps: a worker that comes back has as many to do again.
      threads: of TensorFlow, in each of the processes, on as many cores of
        its own where there are enough; 0: one a core of the machine, shared.
      sizes: modules of each worker; none: balanced by a measurement.
      devices: of `training.strategy` "mirrored" and "processes": one number:
        of all together, given to workers by the measurement; several: of
        each worker. GPUs, or logical processors where there are none; none:
        all GPUs, or one logical processor a worker.
    """

    count: int = 0
    kind: Literal["threads", "processes", "cluster"] = "threads"
    addresses: tuple[str, ...] = ()
    silence_seconds: float = 600.0
    threads: int = 0
    sizes: tuple[int, ...] = ()
    devices: tuple[int, ...] = ()


class Shares(NamedTuple):
    """What each worker has.

    Attributes:
      sizes: modules.
      replicas: devices; none: all that its process sees.
    """

    sizes: tuple[int, ...]
    replicas: tuple[int, ...]


class Plan(NamedTuple):
    """A run that is divided; in `workers.json` for the other processes.

    Attributes:
      experiment: decides everything about the run.
      files: TFRecord files of the pretraining split.
      run_dir: of the whole run.
      tensorboard_dir: for scalars.
      sizes: modules of each worker.
      silence_seconds: see `Workers`.
      threads: likewise.
      replicas: see `Shares`.
    """

    experiment: Experiment
    files: tuple[str, ...]
    run_dir: Path
    tensorboard_dir: str
    sizes: tuple[int, ...]
    silence_seconds: float
    threads: int
    replicas: tuple[int, ...]

    @property
    def num_workers(self) -> int:
        """How many there are."""
        return len(self.sizes)

    def modules(self, task: int) -> tuple[int, int]:
        """Numbers of the first and the last module of a worker."""
        before = sum(self.sizes[:task])
        return before + 1, before + self.sizes[task]

    def part_dir(self, task: int) -> Path:
        """Where a worker keeps its checkpoints and history."""
        first, last = self.modules(task)
        return self.run_dir / "workers" / f"modules_{first}_{last}"

    def name(self, task: int) -> str:
        """What a worker is called in messages."""
        first, last = self.modules(task)
        of = f"module {first}" if first == last else f"modules {first}-{last}"
        return f"Worker {task + 1} of {self.num_workers} ({of})"

    def is_done(self, task: int) -> bool:
        """Whether a worker and all above it need nothing more."""
        return (self.part_dir(task) / _DONE).exists()

    def set_done(self, task: int) -> None:
        """Tells those below, and later runs."""
        step = self.experiment.training.num_steps
        RunDirectory(self.part_dir(task)).write_json(_DONE, {"step": step})


def write_plan(plan: Plan) -> None:
    """Leaves the plan in its run directory."""
    values = plan._asdict()
    del values["run_dir"]
    values["experiment"] = config.to_dict(plan.experiment)
    RunDirectory(plan.run_dir).write_json(_PLAN, values)


def recorded_shares(run_dir: Path) -> Shares | None:
    """How a run that was started before is divided; None for a new one."""
    values = _read(run_dir)
    if not values:
        return None
    return Shares(tuple(values["sizes"]), tuple(values["replicas"]))


def read_plan(run_dir: str | Path, *, seconds: float = 0.0) -> Plan:
    """The plan of a run.

    Args:
      run_dir: of the whole run, on a file system that all workers share.
      seconds: to wait for the first worker to write it.

    Raises:
      WorkerLostError: there is none by then.
    """
    directory = Path(run_dir)
    until = time.monotonic() + seconds
    while not (values := _read(directory)):
        if time.monotonic() > until:
            raise WorkerLostError(
                f"{directory / _PLAN}, which the first worker writes, did not "
                f"appear within {seconds:g} s. Start it (task 0), and give all "
                "workers the same --output-dir on a shared file system."
            )
        time.sleep(1.0)
    return Plan(
        **{
            **values,
            "experiment": config.from_dict(values["experiment"]),
            "files": tuple(values["files"]),
            "sizes": tuple(values["sizes"]),
            "replicas": tuple(values["replicas"]),
            "run_dir": directory,
        }
    )


def check_shares(found: Shares, wanted: Shares, run: Path) -> None:
    """A run goes on under the division that its checkpoints have.

    Args:
      found: that it was started with.
      wanted: for it to go on.
      run: its directory.

    Raises:
      CheckpointError: they differ.
    """
    if found == wanted:
        return
    on = "all that each process sees of the"
    if found.replicas:
        on = _listed(found.replicas)
    raise CheckpointError(
        f"{run} was started with {len(found.sizes)} workers of "
        f"{_listed(found.sizes)} modules, on {on} devices; use as many, or "
        "another directory."
    )


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _read(run_dir: Path) -> dict[str, Any]:
    try:
        values = json.loads((run_dir / _PLAN).read_text())
        # Earlier versions had one device a worker.
        return {"replicas": [1] * len(values["sizes"]), **values}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise CheckpointError(
            f"{run_dir / _PLAN} is damaged ({error}). Bring it back, or remove "
            f"{run_dir} to start over."
        ) from error
