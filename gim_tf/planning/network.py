"""Links between workers, and what sending over them takes."""

import dataclasses

from gim_tf.errors import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
    """Workers on hosts, numbered through; hosts have one full-duplex link.

    A host's link is shared by those of its workers that send at once.

    Attributes:
      bandwidth: bytes a second of a host's link, each way.
      latency: seconds before the first byte, between hosts.
      workers_per_host: workers on a host.
      local_bandwidth: bytes a second between two workers of one host.
      local_latency: seconds, likewise.
    """

    bandwidth: float
    latency: float
    workers_per_host: int = 1
    local_bandwidth: float = 12.5e9
    local_latency: float = 5e-6

    def __post_init__(self) -> None:
        speeds = (self.bandwidth, self.local_bandwidth)
        if min(speeds) <= 0 or min(self.latency, self.local_latency) < 0:
            raise ConfigError(
                "Bandwidths must be above 0 and latencies at least 0, "
                f"received {self}."
            )
        if self.workers_per_host < 1:
            raise ConfigError(
                "--workers-per-host must be 1 or more, received "
                f"{self.workers_per_host}."
            )

    def is_local(self, first: int, last: int) -> bool:
        """Whether workers `first` to `last` share a host."""
        return first // self.workers_per_host == last // self.workers_per_host

    def transfer(
        self, size: float, *, first: int, last: int, senders: int = 1
    ) -> float:
        """Seconds to send `size` bytes between workers `first` and `last`.

        Args:
          size: bytes, of each sender.
          first: smallest number of all workers that take part.
          last: largest.
          senders: workers that send at once, on as few hosts as hold them.
        """
        if self.is_local(first, last):
            return self.local_latency + size / self.local_bandwidth
        sharing = min(senders, self.workers_per_host)
        return self.latency + size * sharing / self.bandwidth

    def all_reduce(self, size: float, *, first: int, count: int) -> float:
        """Seconds of a ring all-reduce over `count` workers from `first` on.

            2 (n - 1) latency + 2 (n - 1) / n size / bandwidth

        Each of 2 (n - 1) rounds sends size / n bytes to the next worker, and
        takes as long as the slowest link. A ring crosses a host's link once
        each way, however many workers the host has. Patarasuk & Yuan,
        "Bandwidth optimal all-reduce algorithms for clusters of
        workstations" (2009), section 3.
        """
        if count == 1:
            return 0.0
        rounds, last = 2 * (count - 1), first + count - 1
        return rounds * self.transfer(size / count, first=first, last=last)
