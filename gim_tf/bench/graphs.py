"""Reading a traced function: what runs in it, and what that calls."""

from collections.abc import Iterator, Sequence

import tensorflow as tf

# Attributes that name the functions of an operation which all run once.
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_LOOPS = ("While", "StatelessWhile")
_BRANCHES = {
    "If": ("then_branch", "else_branch"),
    "StatelessIf": ("then_branch", "else_branch"),
}


def live_operations(graph: tf.Graph) -> list[tf.Operation]:
    """The operations that a function runs: all that its results need.

    A traced graph has others too, such as the gradient of a convolution's
    input where nothing asks for it; TensorFlow leaves them out.
    """
    waiting = [tensor.op for tensor in graph.outputs]
    waiting += graph.control_outputs
    seen = set(waiting)
    while waiting:
        op = waiting.pop()
        before = [tensor.op for tensor in op.inputs]
        for needed in (*before, *op.control_inputs):
            if needed not in seen:
                seen.add(needed)
                waiting.append(needed)
    return [op for op in graph.get_operations() if op in seen]


def called(op: tf.Operation) -> Iterator[tuple[Sequence[tf.Graph], int]]:
    """(functions of which one runs, how often) that an operation calls.

    Raises:
      ValueError: the trips of a loop are not known before it runs.
    """
    if op.type in _CALLS:
        yield [_function(op, "f")], 1
    elif op.type in _LOOPS:
        yield [loop_body(op)], trips(op)
    elif op.type in _BRANCHES:
        yield [_function(op, name) for name in _BRANCHES[op.type]], 1


def is_loop(op: tf.Operation) -> bool:
    """Whether an operation is a while-loop."""
    return op.type in _LOOPS


def loop_body(op: tf.Operation) -> tf.Graph:
    """The function that a while-loop repeats."""
    return _function(op, "body")


def trips(op: tf.Operation) -> int:
    """How often a while-loop runs its body: its `maximum_iterations`.

    Raises:
      ValueError: it has none, or one that depends on what is fed.
    """
    # Inputs are the counter, the maximum, then what the loop carries.
    count = int(_constant(op.inputs[1]))
    if count < 0:
        raise ValueError(f"Loop {op.name} has no maximum_iterations.")
    return count


def _constant(tensor: tf.Tensor) -> int:
    value = tf.get_static_value(tensor)
    if value is not None:
        return value
    try:
        with tf.compat.v1.Session(graph=tensor.graph) as session:
            return session.run(tensor)
    except tf.errors.OpError as error:
        raise ValueError(f"{tensor.name} is not a constant.") from error


def _function(op: tf.Operation, attribute: str) -> tf.Graph:
    # No public name leads from a call to the graph of what it calls.
    return op.graph._get_function(op.get_attr(attribute).name).graph
