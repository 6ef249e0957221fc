"""Peak memory of one training step: summed loss, freed tapes, one module.

    python benchmarks/step_memory.py --experiment stl10_gim --batch-size 4

Each variant runs in a process of its own; memory is the largest resident set
above the one with the model built and one example encoded. One table, one
JSON line.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time

VARIANTS = ("summed", "freed", "module_1", "module_2", "module_3")


def measure(variant: str, name: str, batch_size: int, steps: int) -> dict:
    """Runs one variant in this process."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    from gim_tf import build, config, experiments

    experiment = config.resolve(
        experiments.get(name), [f"training.batch_size={batch_size}"]
    )
    stack = build.build_stack(experiment)
    preprocess = build.build_preprocess(experiment)
    x = preprocess.to_grid(
        255.0 * tf.random.uniform((batch_size, *preprocess.example_shape))
    )
    labels = tf.zeros((batch_size,), tf.int64)
    trainer = build.build_trainer(experiment, stack)
    step = {
        "summed": lambda: summed_step(trainer, x, labels),
        "freed": lambda: trainer.train_step(
            x, labels, (True,) * len(stack.gim_modules)
        ),
    }.get(
        variant,
        lambda: trainer.train_step(
            x, labels, tuple(n == variant for n in stack.module_names)
        ),
    )
    compiled = tf.function(step, autograph=False)
    stack(x[:1])
    before = peak_mib()
    compiled()
    seconds = []
    for _ in range(steps):
        started = time.monotonic()
        compiled()
        seconds.append(time.monotonic() - started)
    return {
        "variant": variant,
        "peak_mib": round(peak_mib() - before, 1),
        "seconds": round(sorted(seconds)[len(seconds) // 2], 3),
    }


def summed_step(trainer, x, labels):  # noqa: ANN001, ANN201
    """One tape over the sum of all losses, as the authors' code does it."""
    import tensorflow as tf

    with tf.GradientTape() as tape:
        total = 0.0
        for module in trainer.stack.gim_modules:
            output = module(x, labels, training=True)
            total += output.loss
            x = output.z
    parts = [m.trainable_variables for m in trainer.stack.gim_modules]
    gradients = iter(
        tape.gradient(total, [v for variables in parts for v in variables])
    )
    for optimizer, variables in zip(trainer.optimizers, parts, strict=True):
        optimizer.apply([next(gradients) for _ in variables], variables)
    return total


def peak_mib() -> float:
    """Largest resident set of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measures all variants, each in its own process, and prints them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", default="stl10_gim")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--variant", choices=VARIANTS)
    options = parser.parse_args()
    arguments = (options.experiment, options.batch_size, options.steps)
    if options.variant:
        print(json.dumps(measure(options.variant, *arguments)))
        return
    rows = []
    for variant in VARIANTS:
        done = subprocess.run(
            [sys.executable, *sys.argv, "--variant", variant],
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        rows.append(json.loads(done.stdout.splitlines()[-1]))
    whole = rows[0]["peak_mib"]
    print(f"{'step':<10}{'peak MiB':>10}{'of summed':>11}{'s a step':>10}")
    for row in rows:
        share = row["peak_mib"] / whole
        print(
            f"{row['variant']:<10}{row['peak_mib']:>10.0f}{share:>11.2f}"
            f"{row['seconds']:>10.2f}"
        )
    print(json.dumps({"benchmark": "step_memory", "rows": rows}))


if __name__ == "__main__":
    main()
