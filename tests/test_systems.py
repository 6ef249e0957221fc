"""The systems that are compared: each trains, can be probed, and is fair."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from gim_tf import build, config, experiments
from gim_tf.inspection.facts import facts

SMALL = {
    "resnet": (
        "stack.encoder.planes=[2, 2, 2]",
        "stack.encoder.stem_channels=2",
        "stack.encoder.expansion=1",
    ),
    "conv_grid": ("stack.encoder.width=0.01",),
    "conv_audio": (
        "stack.encoder.channels=[4, 4, 4, 4, 4]",
        "view.length=2560",
        "view.mean=0.0",
        "view.std=1.0",
    ),
}
FAMILIES = ("cifar10", "fashion_mnist", "flite", "librispeech_mini")
SYSTEMS = (
    "gim",
    "cpc",
    "supervised",
    "greedy_supervised",
    "deep_infomax",
    "predsim",
)
ALIKE = {"cifar10": "fashion_mnist", "librispeech_mini": "flite"}
ORIGINALS = ("cifar10_deep_infomax_alexnet", "cifar10_predsim_vgg8b")


def small(name):
    experiment = experiments.get(name)
    words = [*SMALL[experiment.stack.encoder.kind], "training.batch_size=3"]
    if not experiment.data.class_names:
        words.append("data.class_names=['a', 'b', 'c']")
        words.append("data.frame_names=['x', 'y']")
    if experiment.stack.objective.kind == "deep_infomax":
        words.append("stack.objective.mi_units=8")
    if getattr(experiment.stack.autoregressor, "units", None):
        words.append("stack.autoregressor.units=3")
    return config.resolve(experiment, words)


# Data sets that share their stacks, so that one of them is enough here.
STEPPED = [
    *(f"{family}_{name}" for family in ALIKE.values() for name in SYSTEMS),
    *ORIGINALS,
    "stl10_greedy_supervised",
    "librispeech_greedy_supervised",
    "flite_supervised_phones",
    "librispeech_greedy_supervised_phones",
]


@pytest.mark.integration
@pytest.mark.parametrize("name", STEPPED)
def test_every_system_takes_a_step_and_can_be_probed(name):
    experiment = small(name)
    stack = build.build_stack(experiment)
    trainer = build.build_trainer(experiment, stack)
    shape = (3, *build.view_shape(experiment))
    views = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    x = build.build_to_grid(experiment)(tf.constant(views))
    trained = (True,) * experiment.stack.num_modules
    labels = np.zeros((3, *build.label_shape(experiment)), np.int64)
    labels[1:] = 1
    metrics = trainer.train_step(x, tf.constant(labels), trained)
    assert list(metrics) == list(stack.module_names)
    for found in metrics.values():
        assert np.isfinite(found["loss"])
        assert 0 < found["gradient_norm"] < np.inf
    features = (
        build.build_frames(experiment, stack)(x)
        if experiment.view.kind == "window"
        else stack(x)
    )
    assert list(features) == list(stack.module_names)
    assert all(np.all(np.isfinite(value)) for value in features.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", experiments.names())
def test_T9_no_gradient_crosses_modules_in_any_experiment(name, injected):
    experiment = small(name)
    stack = build.build_stack(experiment)
    shape = (3, *build.view_shape(experiment))
    views = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    z = build.build_to_grid(experiment)(tf.constant(views))
    labels = np.zeros((3, *build.label_shape(experiment)), np.int64)
    losses = []
    with tf.GradientTape(persistent=True) as tape:
        for module in stack.gim_modules:
            output = module(z, tf.constant(labels), training=True)
            losses.append(output.loss)
            z = output.z
    crossed, pairs = [], 0
    for k, loss in enumerate(losses):
        for j, module in enumerate(stack.gim_modules):
            found = tape.gradient(loss, module.trainable_variables)
            pairs += j != k
            if any((g is None) != (j != k) for g in found):
                crossed.append((k, j))
    injected(pairs, crossed)


@pytest.mark.parametrize("family", ["flite", "librispeech"])
@pytest.mark.parametrize("system", ["supervised", "greedy_supervised"])
def test_phones_are_learnt_by_the_network_that_learns_voices(family, system):
    voices = experiments.get(f"{family}_{system}")
    phones = experiments.get(f"{family}_{system}_phones")
    frames = config.SupervisedConfig(labels_of="frame")
    stack = dataclasses.replace(voices.stack, objective=frames)
    words = {x: getattr(phones, x) for x in ("name", "summary", "paper")}
    assert phones == dataclasses.replace(voices, stack=stack, **words)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("system", SYSTEMS[1:])
def test_systems_of_a_data_set_differ_in_what_they_are_alone(family, system):
    base = experiments.get(f"{family}_gim")
    found = experiments.get(f"{family}_{system}")
    assert found.stack.encoder == base.stack.encoder
    assert (found.view, found.training) == (base.view, base.training)
    assert found.probe == base.probe
    if found.stack.objective.needs_labels:
        assert found.data.pretrain_split == base.data.train_split
    same = dataclasses.replace(
        found.data, pretrain_split=base.data.pretrain_split
    )
    assert same == base.data


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize(("family", "alike"), ALIKE.items())
def test_data_sets_of_a_kind_share_their_systems(family, alike, system):
    one, other = (experiments.get(f"{x}_{system}") for x in (family, alike))
    assert one.stack == other.stack


@pytest.mark.parametrize("name", ORIGINALS)
def test_an_original_reads_the_same_pictures_pixel_by_pixel(name):
    base, found = experiments.get("cifar10_gim"), experiments.get(name)
    assert found.training == base.training
    assert found.probe == base.probe
    whole = dataclasses.replace(base.view, patch_size=1, patch_stride=1)
    assert found.view == whole
    assert found.view.grid_side == 32


def test_the_original_networks_have_their_authors_sizes():
    """Parameters of the convolutions, as the authors' lists give them."""
    vgg8b = experiments.get("cifar10_predsim_vgg8b").stack.encoder
    assert [vgg8b.time_steps(32, n) for n in range(8)] == [
        *(32, 32, 32, 16, 16, 8, 4),
        1,
    ]
    full = dataclasses.replace(vgg8b, width=1.0)
    # 8.9 M with their heads, by the authors' README; a colour picture has 3.
    assert count(3, full) == pytest.approx(8.9e6, rel=0.02)
    alexnet = experiments.get("cifar10_deep_infomax_alexnet").stack.encoder
    assert [alexnet.time_steps(64, n) for n in range(1, 6)] == [64, 31, 15] + (
        [15] * 2
    )


def count(channels, encoder):
    widths = (channels, *encoder.widths)
    return sum(
        (side**2 * before + 1) * after
        for side, before, after in zip(
            encoder.kernel_sizes, widths, encoder.widths, strict=False
        )
    )


@pytest.mark.parametrize("name", experiments.names())
def test_reports_have_words_for_what_was_trained(name):
    experiment = config.to_dict(experiments.get(name))
    for fact in facts(experiment, {}):
        assert "kind" not in fact.value.split()
