"""Throughput, memory and traffic of three ways to use many workers.

Costs are proportional to the number of examples. Gradients are reduced after
the backward pass, not during it. Transfers of activations go on while workers
compute, but for GPipe's first and last micro-batch, which wait for them.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gim_tf.errors import ConfigError
from gim_tf.planning.costs import COPIES, Costs, ModuleCost, grouped, total
from gim_tf.planning.network import Network


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """How the systems are run.

    Attributes:
      network: of the workers.
      queue: batches that wait before a module, at most.
      micro_batches: of GPipe's batch.
      rematerialise: GPipe keeps only what stages hand over, and computes the
        rest twice.
    """

    network: Network
    queue: int = 2
    micro_batches: int = 8
    rematerialise: bool = False

    def __post_init__(self) -> None:
        if self.queue < 1 or self.micro_batches < 1:
            raise ConfigError(
                "--queue and --micro-batches must be 1 or more, received "
                f"{self.queue} and {self.micro_batches}."
            )


class Stage(NamedTuple):
    """Consecutive modules, and the replicas that train them.

    Attributes:
      modules: first to last.
      first: number of its first worker.
      replicas: its workers, which divide each batch.
    """

    modules: Sequence[ModuleCost]
    first: int
    replicas: int

    @property
    def last(self) -> int:
        """Number of its last worker."""
        return self.first + self.replicas - 1


class Estimate(NamedTuple):
    """What a system does with a number of workers.

    Attributes:
      batch: examples of an update.
      throughput: examples a second.
      memory: bytes of the fullest worker.
      traffic: bytes a second of the busiest worker's link, one way.
      bottleneck: what would have to be faster.
      busy: share of the workers' time that computes.
      seconds: by part, of what decides: stages and links.
    """

    batch: float
    throughput: float
    memory: float
    traffic: float
    bottleneck: str
    busy: float
    seconds: Mapping[str, float]


def stages(costs: Costs, workers: int) -> list[Stage]:
    """Modules on workers, for decoupled training.

    Fewer workers than modules: neighbours share one, balanced. More: each
    worker that is left goes to the module that is slowest so far.
    """
    modules = costs.modules
    if workers <= len(modules):
        groups = grouped(modules, workers)
        return [Stage(group, i, 1) for i, group in enumerate(groups)]
    replicas = [1] * len(modules)
    for _ in range(workers - len(modules)):
        slowest = max(
            range(len(modules)), key=lambda i: modules[i].step_s / replicas[i]
        )
        replicas[slowest] += 1
    found, first = [], 0
    for module, count in zip(modules, replicas, strict=True):
        found.append(Stage([module], first, count))
        first += count
    return found


def decoupled(costs: Costs, workers: int, settings: Settings) -> Estimate:
    """Decoupled GIM, `estimate` of its `stages`.

    The batch is that of the costs while no module has replicas, then grows
    with the workers.
    """
    growth = max(1.0, workers / len(costs.modules))
    return estimate(stages(costs, workers), costs, settings, growth=growth)


def estimate(
    layout: Sequence[Stage],
    costs: Costs,
    settings: Settings,
    *,
    growth: float = 1.0,
) -> Estimate:
    """Decoupled GIM: a forward-only pipeline, each module with its own loss.

        throughput = batch / max over stages and links of their seconds

    for no gradient comes back and nothing waits for a bubble. A stage takes
    the sum over its modules, divided by its replicas, and an all-reduce of
    its gradients. A worker holds its parameters, one module's activations at
    a time (tapes end one after the other), and the queue in front of it.

    Args:
      layout: modules, and workers that train them.
      costs: of the network.
      settings: see there.
      growth: of the batch, over that of the costs.
    """
    seconds: dict[str, float] = {}
    sent = [0.0] * len(layout)
    computing = 0.0
    for index, stage in enumerate(layout, 1):
        share = growth / stage.replicas
        compute = share * total(stage.modules, "step_s")
        computing += compute * stage.replicas
        reduced = _reduction(stage, settings.network)
        seconds[f"module {_names(layout, index)}"] = compute + reduced
        sent[index - 1] += _ring_bytes(stage)
        if index < len(layout):
            following = layout[index]
            size = growth * stage.modules[-1].output_bytes
            seconds[f"link {index}-{index + 1}"] = _hand_over(
                size, stage, following, settings.network
            )
            sent[index - 1] += size / stage.replicas
    period = max(seconds.values())
    workers = sum(stage.replicas for stage in layout)
    return Estimate(
        batch=growth * costs.batch_size,
        throughput=growth * costs.batch_size / period,
        memory=max(
            _decoupled_memory(layout, i, growth, settings.queue)
            for i in range(len(layout))
        ),
        traffic=max(sent) / period,
        bottleneck=max(seconds, key=seconds.__getitem__),
        busy=computing / (workers * period),
        seconds=seconds,
    )


def gpipe(costs: Costs, workers: int, settings: Settings) -> Estimate:
    """Pipeline-parallel backpropagation in m micro-batches over p stages.

        seconds of a batch = sum(f) + (m - 1) max(f) + sum(b) + (m - 1) max(b)

    with f, b a stage's seconds for a micro-batch, forward and backward, or
    those of its link where that is slower; sums have both. Equal stages
    and free links make that (m + p - 1) (f + b), of which the bubble is
    (p - 1) / (m + p - 1). A stage keeps the activations of all micro-batches;
    rematerialised, their inputs and one micro-batch's activations, for another
    forward pass. Workers beyond one a module make further pipelines, which
    reduce their gradients after each batch; those that do not fill one idle.
    Huang et al., "GPipe: Efficient Training of Giant Neural Networks using
    Pipeline Parallelism" (2019), sections 2.2 and 2.3.
    """
    depth = min(workers, len(costs.modules))
    pipelines = workers // depth
    groups = grouped(costs.modules, depth)
    count = settings.micro_batches
    links = [
        settings.network.transfer(
            group[-1].output_bytes / count, first=i, last=i + 1
        )
        for i, group in enumerate(groups[:-1])
    ]
    forward = [total(group, "forward_s") / count for group in groups]
    backward = [total(group, "backward_s") / count for group in groups]
    computing = count * (sum(forward) + sum(backward))
    if settings.rematerialise:
        backward = [f + b for f, b in zip(forward, backward, strict=True)]
    passes = [_filled(part, links, count) for part in (forward, backward)]
    largest = max(total(group, "parameter_bytes") for group in groups)
    reduced = _reduction_of_pipelines(
        largest, depth, pipelines, settings.network
    )
    period = sum(passes) + reduced
    slowest = count * max(f + b for f, b in zip(forward, backward, strict=True))
    seconds = {
        "stage": slowest,
        "bubble": max(0.0, sum(passes) - slowest),
        "all-reduce": reduced,
    }
    carried = max((group[-1].output_bytes for group in groups[:-1]), default=0)
    ring = 2 * (pipelines - 1) / pipelines * largest
    batch = pipelines * costs.batch_size
    return Estimate(
        batch=batch,
        throughput=batch / period,
        memory=max(_gpipe_memory(groups, i, settings) for i in range(depth)),
        traffic=(carried + ring) / period,
        bottleneck=max(seconds, key=seconds.__getitem__),
        busy=computing * pipelines / (workers * period),
        seconds=seconds,
    )


def data_parallel(costs: Costs, workers: int, settings: Settings) -> Estimate:
    """The whole network on every worker, by backpropagation.

        seconds of a batch = sum(t) + all-reduce of all parameters

    Each worker has a batch of the costs' size, so that the batch grows with
    the workers, and keeps the activations of all modules.
    """
    compute = total(costs.modules, "step_s")
    parameters = total(costs.modules, "parameter_bytes")
    reduced = settings.network.all_reduce(parameters, first=0, count=workers)
    period = compute + reduced
    seconds = {"network": compute, "all-reduce": reduced}
    batch = workers * costs.batch_size
    return Estimate(
        batch=batch,
        throughput=batch / period,
        memory=COPIES * parameters + total(costs.modules, "kept_bytes"),
        traffic=2 * (workers - 1) / workers * parameters / period,
        bottleneck=max(seconds, key=seconds.__getitem__),
        busy=compute / period,
        seconds=seconds,
    )


def _reduction(stage: Stage, network: Network) -> float:
    """Seconds in which a stage's replicas average their gradients."""
    return network.all_reduce(
        total(stage.modules, "parameter_bytes"),
        first=stage.first,
        count=stage.replicas,
    )


def _reduction_of_pipelines(
    size: float, depth: int, pipelines: int, network: Network
) -> float:
    """All stages at once, each over its replicas, `depth` workers apart.

    A host that has workers of several stages has as many rings on its link.
    """
    if pipelines == 1:
        return 0.0
    return (
        2
        * (pipelines - 1)
        * network.transfer(
            size / pipelines,
            first=0,
            last=depth * pipelines - 1,
            senders=depth,
        )
    )


def _ring_bytes(stage: Stage) -> float:
    """Bytes that a worker of a stage sends to average gradients."""
    size = total(stage.modules, "parameter_bytes")
    return 2 * (stage.replicas - 1) / stage.replicas * size


def _hand_over(
    size: float, stage: Stage, following: Stage, network: Network
) -> float:
    """Seconds in which all of a batch's z goes to the next stage.

    The stage with fewer workers decides: each of them sends, or receives, the
    largest part.
    """
    fewer = min(stage.replicas, following.replicas)
    return network.transfer(
        size / fewer, first=stage.first, last=following.last, senders=fewer
    )


def _decoupled_memory(
    layout: Sequence[Stage], index: int, growth: float, queue: int
) -> float:
    """Bytes of a stage's worker; the first reads its batches as they come."""
    stage = layout[index]
    share = growth / stage.replicas
    kept = max(module.kept_bytes for module in stage.modules)
    waiting = layout[index - 1].modules[-1].output_bytes if index else 0.0
    return (
        COPIES * total(stage.modules, "parameter_bytes")
        + share * kept
        + share * (queue + 1) * waiting
    )


def _gpipe_memory(
    groups: Sequence[Sequence[ModuleCost]], index: int, settings: Settings
) -> float:
    """Bytes of a stage's worker; all micro-batches make the costs' batch."""
    group = groups[index]
    kept = total(group, "kept_bytes")
    if settings.rematerialise:
        inputs = groups[index - 1][-1].output_bytes if index else 0.0
        kept = inputs + kept / settings.micro_batches
    return COPIES * total(group, "parameter_bytes") + kept


def _filled(
    stages: Sequence[float], links: Sequence[float], count: int
) -> float:
    """Seconds of `count` micro-batches, one pass, through stages and links."""
    return sum(stages) + sum(links) + (count - 1) * max([*stages, *links])


def _names(layout: Sequence[Stage], number: int) -> str:
    """The modules of a stage, from 1: "3", or "3-5"."""
    first = 1 + sum(len(stage.modules) for stage in layout[: number - 1])
    last = first + len(layout[number - 1].modules) - 1
    return str(first) if first == last else f"{first}-{last}"
