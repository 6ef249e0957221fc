"""The workers of a cluster, as the variable TF_CONFIG describes them."""

import dataclasses
import json

from gim_tf.errors import ConfigError

_EXAMPLE = (
    'such as {"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": '
    '{"type": "worker", "index": 0}}'
)
# In this order they are numbered; the first of all is the chief.
_JOBS = ("chief", "worker")


@dataclasses.dataclass(frozen=True)
class Cluster:
    """All workers, and which of them this process is.

    Attributes:
      jobs: "chief" and "worker", as many as there are -> "host:port" each.
      job: of this process.
      task: its number in its job.
    """

    jobs: dict[str, list[str]]
    job: str
    task: int

    @property
    def addresses(self) -> list[str]:
        """Of all workers, the chief's first."""
        return [a for job in _JOBS for a in self.jobs.get(job, [])]

    @property
    def worker(self) -> int:
        """This worker's place among all; 0: the chief."""
        before = _JOBS.index(self.job)
        return self.task + sum(
            len(self.jobs.get(job, [])) for job in _JOBS[:before]
        )

    @property
    def is_chief(self) -> bool:
        """Whether this worker writes checkpoints and history."""
        return self.worker == 0


def parse_cluster(text: str | None) -> Cluster:
    """The cluster of TF_CONFIG's text.

    Raises:
      ConfigError: it names none, or it is none of workers.
    """
    found = find_cluster(text)
    if found is None:
        raise ConfigError(
            "--strategy multiworker reads the workers from the environment "
            f"variable TF_CONFIG, which names none; set it, {_EXAMPLE}."
        )
    return found


def find_cluster(text: str | None) -> Cluster | None:
    """The same; None where the text is empty, or names no cluster.

    Launchers of single processes set it so.
    """
    if not text:
        return None
    try:
        content = json.loads(text)
        if not content.get("cluster"):
            return None
        jobs = {
            str(job): [str(address) for address in addresses]
            for job, addresses in content["cluster"].items()
        }
        task = content["task"]
        found = Cluster(jobs, str(task["type"]), int(task["index"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"TF_CONFIG is not understood ({error!r}); expected JSON {_EXAMPLE}"
            f", received {text!r}."
        ) from error
    _check(found)
    return found


def _check(cluster: Cluster) -> None:
    other = sorted(cluster.jobs.keys() - set(_JOBS))
    if other or cluster.job not in cluster.jobs:
        raise ConfigError(
            "TF_CONFIG must have jobs 'chief' and 'worker' only, and its task "
            f"must be of one of them; received jobs {sorted(cluster.jobs)} and "
            f"a task of {cluster.job!r}."
        )
    addresses = cluster.addresses
    if len(set(addresses)) != len(addresses):
        raise ConfigError(
            "TF_CONFIG must name each address once, received "
            f"{', '.join(addresses)}."
        )
    count = len(cluster.jobs[cluster.job])
    if not 0 <= cluster.task < count or len(cluster.jobs.get("chief", ())) > 1:
        raise ConfigError(
            f"TF_CONFIG has {count} address(es) of job {cluster.job!r} and "
            f"says that this is number {cluster.task}; numbers start at 0, "
            "and there may be one chief."
        )
