"""What this machine's matrix product reaches, the roof of a step."""

import math
import time

import tensorflow as tf

_SIZES = (2048, 3072, 4096)
_REPEATS = 3


def gemm_gflops(
    sizes: tuple[int, ...] = _SIZES, repeats: int = _REPEATS
) -> float:
    """Best of several square float32 products, in 1e9 operations a second.

    With the threads that TensorFlow has been given. Several sizes: the
    largest is not always the fastest.
    """
    return max(_gflops(size) for size in sizes for _ in range(repeats))


def _gflops(size: int) -> float:
    matrix = tf.ones((size, size))
    started = time.perf_counter()
    # One number on the host: some devices return before they are done.
    product = tf.matmul(matrix, matrix)[0, 0].numpy()
    seconds = time.perf_counter() - started
    if not math.isfinite(product):
        raise ArithmeticError(f"A product of ones gave {product}.")
    return 2 * size**3 / seconds / 1e9
