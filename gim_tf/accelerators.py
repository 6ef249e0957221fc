"""What TensorFlow takes of accelerators: memory as it is needed."""

import tensorflow as tf


def grow_gpu_memory() -> int:
    """Takes memory of GPUs as it is needed, not all of it at the start.

    By default the first process takes a GPU whole, and a second one, such as
    the next component of a pipeline or TensorBoard's projector, finds none.

    Returns:
      How many GPUs there are; 0 also where TensorFlow has already started on
      them, which then stay as they are.
    """
    gpus = tf.config.list_physical_devices("GPU")
    try:
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError:
        return 0
    return len(gpus)
