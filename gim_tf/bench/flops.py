"""Floating point operations of a traced function.

Counted are convolutions and both of their gradients, matrix products, batched
or not, and einsums: 2 for each multiply-add, zeros that pad included. What
goes through every element once (ReLU, sums, softmax, Adam) is not: it is under
1 % of a step and bound by memory. Functions that are called count as often as
they are called, the body of a while-loop times its trips, the larger of two
branches. What no result needs is left out, as TensorFlow does.
"""

import math
from collections.abc import Callable, Iterator

import tensorflow as tf

from gim_tf.bench.graphs import called, live_operations


def count_flops(graph: tf.Graph) -> int:
    """Floating point operations of one run of a function's graph.

    Raises:
      ValueError: a shape, or the trips of a loop, are not known before it
        runs.
    """
    total = 0
    for op in live_operations(graph):
        if op.type in _COUNTS:
            total += _COUNTS[op.type](op)
        for functions, times in called(op):
            total += times * max(
                count_flops(function) for function in functions
            )
    return total


def _conv(op: tf.Operation) -> int:
    """Each output is a sum over the kernel's window and input channels."""
    return _window(op.inputs[1], op.outputs[0])


def _conv_input_gradient(op: tf.Operation) -> int:
    """Each output gradient goes back over the window that made the output."""
    return _window(op.inputs[1], op.inputs[2])


def _conv_filter_gradient(op: tf.Operation) -> int:
    return _window(op.outputs[0], op.inputs[2])


def _window(kernel: tf.Tensor, output: tf.Tensor) -> int:
    """2 x outputs x h w c_in; the kernel is [h, w, c_in, c_out]."""
    return 2 * _size(output) * math.prod(_shape(kernel)[:-1])


def _matmul(op: tf.Operation) -> int:
    *_, rows, columns = _shape(op.inputs[0])
    is_transposed = op.get_attr(
        "transpose_a" if op.type == "MatMul" else "adj_x"
    )
    return 2 * _size(op.outputs[0]) * (rows if is_transposed else columns)


def _einsum(op: tf.Operation) -> int:
    """2 x outputs x the letters that are summed; of one operand none."""
    if len(op.inputs) < 2:
        return 0
    terms, _, result = op.get_attr("equation").decode().partition("->")
    sizes = {
        letter: size
        for term, operand in zip(terms.split(","), op.inputs, strict=True)
        for letter, size in _letters(term, _shape(operand))
    }
    summed = (size for letter, size in sizes.items() if letter not in result)
    return 2 * _size(op.outputs[0]) * math.prod(summed)


def _letters(term: str, shape: tuple[int, ...]) -> Iterator[tuple[str, int]]:
    """Letters before an ellipsis are the first axes, behind it the last."""
    head, _, tail = term.partition("...")
    yield from zip(head, shape, strict=False)
    yield from zip(reversed(tail), reversed(shape), strict=False)


def _size(tensor: tf.Tensor) -> int:
    return math.prod(_shape(tensor))


def _shape(tensor: tf.Tensor) -> tuple[int, ...]:
    shape = tensor.shape
    if not shape.is_fully_defined():
        raise ValueError(f"The shape of {tensor.name} is {shape}.")
    return tuple(shape)


_COUNTS: dict[str, Callable[[tf.Operation], int]] = {
    "Conv2D": _conv,
    "Conv2DBackpropInput": _conv_input_gradient,
    "Conv2DBackpropFilter": _conv_filter_gradient,
    "MatMul": _matmul,
    "BatchMatMul": _matmul,
    "BatchMatMulV2": _matmul,
    "BatchMatMulV3": _matmul,
    "Einsum": _einsum,
}
