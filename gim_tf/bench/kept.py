"""Bytes that a traced step keeps for its backward pass.

The backward pass is what a tape's gradient adds to the graph: operations whose
name has "gradient_tape". What they read and did not make themselves must be
kept until they run. Its distinct buffers are summed: tensors that are views of
others (`Reshape`, `Identity`) are those others, and neither weights nor
constants count, since they stay in any case. What a loop stacks for its
gradient counts once a trip.

It is a count of the graph, the same on every machine; the peak of a process is
above it, by what operations need while they run.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence

import tensorflow as tf

from gim_tf.bench.graphs import is_loop, live_operations, loop_body, trips

_BACKWARD = "gradient_tape"
_VIEWS = {"Identity", "Reshape", "Squeeze", "ExpandDims", "StopGradient"}
_WEIGHTS = {"ReadVariableOp", "Const", "VarHandleOp"}
_OF_SHAPES = {"Shape", "ShapeN", "Size", "Rank"}


def kept_bytes(graph: tf.Graph, *, freed: bool) -> int:
    """Bytes of the forward tensors that the backward operations read.

    Args:
      graph: of a function that takes gradients.
      freed: the function ends one backward pass before it begins the next, as
        `GIMTrainer` does it: the passes, which are those of its operations
        that no gradient connects, do not add up, and the largest counts.

    Raises:
      ValueError: a shape, or the trips of a loop, are not known before it
        runs.
    """
    backward = _backward(graph)
    passes = _connected(backward) if freed else [set(backward)]
    return max((_read_bytes(ops, backward) for ops in passes), default=0)


def _backward(graph: tf.Graph) -> dict[tf.Operation, bool]:
    """Operations behind the first gradient; whether they are the tape's.

    It makes some outside its name, such as the sums of gradients. Others are
    the optimizer's, whose reading keeps nothing.
    """
    found: dict[tf.Operation, bool] = {}
    for op in live_operations(graph):  # in the order in which they were made
        is_named = _BACKWARD in op.name
        if is_named or any(tensor.op in found for tensor in op.inputs):
            found[op] = is_named and op.type not in _OF_SHAPES
    return found


def _connected(
    backward: Collection[tf.Operation],
) -> list[set[tf.Operation]]:
    """The operations, those that read one another together."""
    parts: dict[tf.Operation, set[tf.Operation]] = {}
    for op in backward:
        part = {op}
        for tensor in op.inputs:
            other = parts.get(tensor.op, part)
            if other is not part:
                smaller, part = sorted((part, other), key=len)
                part |= smaller
                parts.update(dict.fromkeys(smaller, part))
        parts[op] = part
    return list({id(part): part for part in parts.values()}.values())


def _read_bytes(
    ops: Collection[tf.Operation], backward: Mapping[tf.Operation, bool]
) -> int:
    read = {
        root.ref(): root
        for op in ops
        if backward[op]
        for root in _roots(op.inputs, backward)
        if root.op not in backward and root.op.type not in _WEIGHTS
    }
    return sum(_bytes(tensor) for tensor in read.values())


def _roots(
    tensors: Sequence[tf.Tensor], backward: Collection[tf.Operation]
) -> Iterator[tf.Tensor]:
    """The tensors whose buffers these are, weights' handles left out."""
    for tensor in tensors:
        while tensor.op.type in _VIEWS and tensor.op not in backward:
            tensor = tensor.op.inputs[0]
        if tensor.dtype != tf.resource:
            yield tensor


def _bytes(tensor: tf.Tensor) -> int:
    if tensor.dtype == tf.variant:
        return _stacked_bytes(tensor)
    if not tensor.shape.is_fully_defined():
        raise ValueError(f"The shape of {tensor.name} is {tensor.shape}.")
    return math.prod(tensor.shape) * tensor.dtype.size


def _stacked_bytes(tensor: tf.Tensor) -> int:
    """A list of tensors; 0 unless a loop has pushed an element each trip.

    What the loop reads but does not change is one buffer in all trips, or a
    weight.
    """
    if not is_loop(tensor.op):
        return 0
    pushed = loop_body(tensor.op).outputs[tensor.value_index].op
    if pushed.type != "TensorListPushBack":
        return 0
    (root,) = _roots(pushed.inputs[1:], ())
    if root.op.type in _WEIGHTS:
        return 0
    return _bytes(root) * (1 if _is_constant(root) else trips(tensor.op))


def _is_constant(tensor: tf.Tensor) -> bool:
    """Whether a loop passes a tensor of its body on as it came."""
    graph = tensor.graph
    fed = [other.ref() for other in graph.inputs]
    if tensor.ref() not in fed:
        return False
    passed = graph.outputs[fed.index(tensor.ref())]
    return next(_roots([passed], ())).ref() == tensor.ref()
