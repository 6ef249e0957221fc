"""Half the bits in training: near float32, and no number lost unseen."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from gim_tf import build, config, jobs
from gim_tf.encoders.resnet import PreActivationBlock
from gim_tf.export.saved_model import load_encoder, signature_function
from gim_tf.training.checkpoints import RunCheckpoints

pytestmark = pytest.mark.integration

MIXED = ("mixed_bfloat16", "mixed_float16")


@pytest.fixture(params=["patches", "sequence"])
def experiment_and_grid(request, tiny, grid, tiny_sequence, sequence_grid):
    if request.param == "patches":
        return tiny, grid[0]
    return tiny_sequence, sequence_grid


def losses_and_gradients(experiment, x, precision):
    labels = tf.constant([0, 1, 1])
    stack = build.build_stack(experiment, precision=precision)
    found = []
    for module in stack.gim_modules:
        with tf.GradientTape() as tape:
            output = module(tf.cast(x, tf.float32), labels, training=True)
        gradients = tape.gradient(output.loss, module.trainable_variables)
        found.append((output, gradients))
        x = output.z
    return found


def test_bfloat16_is_float32_to_its_three_digits(experiment_and_grid):
    experiment, x = experiment_and_grid
    exact = losses_and_gradients(experiment, x, "float32")
    mixed = losses_and_gradients(experiment, x, "mixed_bfloat16")
    for (full, gradients), (half, near) in zip(exact, mixed, strict=True):
        assert half.z.dtype == tf.bfloat16
        assert half.loss.dtype == tf.float32
        np.testing.assert_allclose(half.loss, full.loss, rtol=0.01)
        a, b = (
            np.concatenate([np.ravel(tf.convert_to_tensor(g)) for g in some])
            for some in (gradients, near)
        )
        assert b.dtype == np.float32
        cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        assert cosine > 0.99


@pytest.mark.parametrize("precision", MIXED)
def test_weights_moments_and_losses_stay_float32(tiny, grid, precision):
    x, labels = (tf.constant(a) for a in grid)
    tiny = config.resolve(tiny, [f"training.precision={precision}"])
    stack = build.build_stack(tiny, precision=precision)
    trainer = build.build_trainer(tiny, stack)
    metrics = trainer.compiled_step(x, labels, (True, False, False))
    variables = [*stack.variables, *trainer.optimizers[0].variables]
    assert "float16" not in " ".join(str(v.dtype) for v in variables)
    for values in metrics.values():
        assert all(value.dtype == tf.float32 for value in values.values())
        assert np.log(17) == pytest.approx(values["loss"].numpy(), abs=0.1)
    assert keras.config.dtype_policy().name == "float32"


def test_a_float16_gradient_that_overflows_skips_its_module_alone(tiny, grid):
    x, labels = (tf.constant(a) for a in grid)
    tiny = config.resolve(tiny, ["training.precision=mixed_float16"])
    stack = build.build_stack(tiny, precision="mixed_float16")
    trainer = build.build_trainer(tiny, stack)
    trainer.optimizers[1].dynamic_scale.assign(2.0**30)
    before = [
        [v.numpy() for v in m.trainable_variables] for m in stack.gim_modules
    ]
    metrics = trainer.compiled_step(x, labels, (True, True, True))
    for index, module in enumerate(stack.gim_modules):
        same = all(
            np.array_equal(a, b.numpy())
            for a, b in zip(
                before[index], module.trainable_variables, strict=True
            )
        )
        assert same == (index == 1)
    scales = [float(o.dynamic_scale.numpy()) for o in trainer.optimizers]
    assert scales == [2.0**15, 2.0**29, 2.0**15]
    norms = [m["gradient_norm"].numpy() for m in metrics.values()]
    assert norms[1] == 0.0
    assert norms[0] > 0 < norms[2]


def test_the_scale_leaves_norm_and_update_as_they_are(tiny, grid):
    x, labels = (tf.constant(a) for a in grid)
    results = []
    for precision in ("float32", "mixed_float16"):
        experiment = config.resolve(tiny, [f"training.precision={precision}"])
        stack = build.build_stack(experiment)  # of float32: the scale alone
        trainer = build.build_trainer(experiment, stack)
        metrics = trainer.compiled_step(x, labels, (True, False, False))
        results.append((metrics, stack.trainable_variables))
    (plain, weights), (scaled, others) = results
    for name, values in plain.items():
        for key, value in values.items():
            np.testing.assert_allclose(scaled[name][key], value, rtol=1e-5)
    for one, other in zip(weights, others, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-6)


def test_what_no_scale_can_help_is_reported_as_not_finite(tiny, grid):
    x, labels = (tf.constant(a) for a in grid)
    tiny = config.resolve(tiny, ["training.precision=mixed_float16"])
    trainer = build.build_trainer(tiny, build.build_stack(tiny))
    trainer.optimizers[0].dynamic_scale.assign(0.5)
    metrics = trainer.compiled_step(x * np.inf, labels, (True, False, False))
    assert not np.isfinite(metrics["module_1"]["gradient_norm"].numpy())


def test_the_scale_is_in_the_checkpoint(tiny, tmp_path):
    tiny = config.resolve(tiny, ["training.precision=mixed_float16"])
    trainers = [
        build.build_trainer(tiny, build.build_stack(tiny)) for _ in range(2)
    ]
    trainers[0].optimizers[2].dynamic_scale.assign(8.0)
    RunCheckpoints(tmp_path, trainers[0]).save(1)
    RunCheckpoints(tmp_path, trainers[1]).restore_latest()
    assert trainers[1].optimizers[2].dynamic_scale.numpy() == 8.0


def test_a_block_keeps_its_precision_when_it_is_serialized():
    block = PreActivationBlock(
        kind="basic", in_channels=4, planes=4, dtype="mixed_bfloat16"
    )
    again = PreActivationBlock.from_config(block.get_config())
    policies = {c.dtype_policy.name for c in again.convolutions}
    assert policies == {"mixed_bfloat16"}


def test_what_is_exported_is_float32(tiny, tiny_records, tmp_path):
    tiny = config.resolve(tiny, ["training.precision=mixed_bfloat16"])
    files = [str(p) for p in (tiny_records / "Split-train").iterdir()]
    jobs.pretrain(
        tiny, files, tmp_path / "run", tensorboard_dir=tmp_path / "board"
    )
    jobs.export(tiny, tmp_path / "run", tmp_path / "model")
    encode = signature_function(load_encoder(tmp_path / "model"), "tensor")
    features = encode(tf.zeros((2, 28, 28, 1)))
    assert {value.dtype for value in features.values()} == {tf.float32}
