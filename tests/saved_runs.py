"""What runs have saved: their newest checkpoints, to compare runs by."""

import tensorflow as tf


def newest(folder):
    """Step of the folder's newest checkpoint; 0 where there is none."""
    found = folder.glob("ckpt-*.index")
    return max((int(p.stem.split("-")[1]) for p in found), default=0)


def variables(folder):
    """Of the newest checkpoint: weights, optimizers, random state, step."""
    reader = tf.train.load_checkpoint(str(folder / f"ckpt-{newest(folder)}"))
    return {
        name: reader.get_tensor(name)
        for name in sorted(reader.get_variable_to_shape_map())
        if name != "_CHECKPOINTABLE_OBJECT_GRAPH"
    }


def differing(one, other):
    """Names of the variables whose bytes are not the same in both folders."""
    a, b = (
        {name: value.tobytes() for name, value in variables(folder).items()}
        for folder in (one, other)
    )
    assert a
    return [name for name in a.keys() | b.keys() if a.get(name) != b.get(name)]
