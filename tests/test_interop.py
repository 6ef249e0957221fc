"""Weights under the authors' names: placed right, or refused by name."""

import json
import re
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import save_file

from gim_tf import interop
from gim_tf.data import patches
from gim_tf.encoders import (
    GRUContext,
    MaskedConvContext,
    conv1d_blocks,
    resnet_blocks,
)
from gim_tf.errors import WeightsError
from gim_tf.losses import InfoNCE, Supervised
from gim_tf.module import Chain, GIMModule
from gim_tf.shapes import BatchApply, pool_local
from gim_tf.stack import GIMStack, partition

GOLDENS = Path(__file__).parents[2] / "shared" / "goldens"
MANIFEST = GOLDENS / "manifest.json"
CASES = json.loads(MANIFEST.read_text())["cases"] if MANIFEST.is_file() else {}


def on_patches(
    kind="basic",
    planes=(3, 5),
    depths=(2, 1),
    sizes=(3, 1),
    objective=None,
    channels=1,
    context=None,
    seed=0,
):
    """A stack on [b, 7, 1, 8, 8, channels]."""
    blocks = resnet_blocks(
        in_channels=channels,
        block=kind,
        stem_channels=planes[0],
        planes=planes,
        depths=depths,
        expansion=4,
        stem_strides=1,
        seed=seed,
    )
    parts = [BatchApply(Chain(part)) for part in partition(blocks, sizes)]
    contexts = {len(sizes) - 1: context}
    x = tf.zeros((1, 7, 1, 8, 8, channels))
    return stack_of(parts, contexts, x, objective or nce)


def on_sequences(
    sizes=(1, 1, 0),
    layers=((3, 2, 1), (2, 1, 1)),
    width=4,
    units=3,
    every=False,
    objective=None,
    seed=0,
    **context,
):
    """A stack on [b, t, 1, 1]; layers are (kernel size, stride, padding)."""
    kernel_sizes, strides, paddings = zip(*layers, strict=True)
    blocks = conv1d_blocks(
        in_channels=1,
        channels=[width] * len(layers),
        kernel_sizes=kernel_sizes,
        strides=strides,
        paddings=paddings,
        seed=seed,
    )
    parts = [Chain(part) for part in partition(blocks, sizes)]
    at = range(len(sizes)) if every else [len(sizes) - 1]
    contexts = {i: GRUContext(width, units, **context) for i in at}
    x = tf.zeros((1, 4_000, 1, 1))
    return stack_of(parts, contexts, x, objective or nce)


def nce(seed, steps=2):
    return InfoNCE(prediction_steps=steps, num_negatives=2, seed=seed)


def stack_of(encoders, contexts, x, objective):
    modules = [
        GIMModule(encoder, objective(i), contexts.get(i), name=f"module_{i}")
        for i, encoder in enumerate(encoders)
    ]
    for module in modules:
        x = module.encode(x)
        shape = context_shape = pool_local(x).shape
        if module.autoregressor is not None:
            module.autoregressor.build(shape)
            context_shape = module.autoregressor.compute_output_shape(shape)
        module.objective.build(shape, context_shape)
    return GIMStack(modules)


def masked_cpc(seed=0, **options):
    context = MaskedConvContext(5, num_layers=3, seed=seed)
    return on_patches(sizes=(4,), context=context, seed=seed, **options)


NETWORKS = {
    "basic": on_patches,
    "bottleneck": lambda **o: on_patches("bottleneck", **o),
    "supervised": lambda **o: on_patches(
        objective=lambda seed: Supervised(num_classes=7, seed=seed), **o
    ),
    "masked": masked_cpc,
    "gru": on_sequences,
    "gru in every module": lambda **o: on_sequences((1, 1), every=True, **o),
    "one module without time": lambda **o: on_sequences(
        (2,), backpropagate_through_time=False, **o
    ),
}


def noisy(stack, seed=0):
    """The stack's arrays with all that it holds replaced by noise."""
    generator = np.random.default_rng(seed)
    held = {e.name: e for e in interop.entries(stack) if e.variable is not None}
    return {
        name: generator.normal(size=entry.shape).astype(np.float32)
        for name, entry in held.items()
    }


def values(stack):
    return [v.numpy() for v in stack.trainable_variables]


@pytest.mark.parametrize("network", NETWORKS)
def test_a_round_trip_restores_every_variable(network):
    first, second = NETWORKS[network](seed=1), NETWORKS[network](seed=2)
    arrays = noisy(first)
    interop.from_authors(first, arrays)
    interop.from_authors(second, interop.to_authors(first))
    for one, other in zip(values(first), values(second), strict=True):
        assert len(np.unique(one)) == one.size  # none was left as it was
        np.testing.assert_array_equal(one, other)
    written = interop.to_authors(second)
    for name, array in arrays.items():
        visible = written[name] != 0
        np.testing.assert_array_equal(
            written[name], np.where(visible, array, 0.0)
        )


@pytest.mark.parametrize("network", NETWORKS)
def test_counts_add_up(network):
    count = interop.parameter_count(NETWORKS[network]())
    assert count.authors == count.ours + count.masked + count.unused
    assert (count.masked > 0) == (count.unused > 0) == (network == "masked")


def test_arrays_lie_where_their_layout_says():
    stack = on_patches("bottleneck", depths=(1, 2), sizes=(2, 2))
    arrays = interop.to_authors(stack)
    first, second = stack.gim_modules
    stem, block = first.encoder.layer.blocks
    kernel = stem.kernel.numpy()
    theirs = arrays["model.0.0.model.Conv1.weight"]
    assert theirs.shape == (3, 1, 5, 5)
    assert theirs[2, 0, 1, 4] == kernel[1, 4, 0, 2]
    np.testing.assert_array_equal(
        arrays["model.0.0.model.layer 0.0.shortcut.0.bias"],
        block.shortcut.bias,
    )
    # Stages are counted inside a module, blocks inside a stage.
    again = second.encoder.layer.blocks[1].convolutions[2].kernel.numpy()
    theirs = arrays["model.0.1.model.layer 0.1.conv3.weight"]
    np.testing.assert_array_equal(theirs[:, :, 0, 0], again[0, 0].T)
    w_k = second.objective.w_k.numpy()
    theirs = arrays["model.0.1.loss.W_k.1.weight"]
    np.testing.assert_array_equal(theirs[:, :, 0, 0], w_k[1])


def test_stages_are_counted_inside_a_module():
    names = {e.name for e in interop.entries(on_patches(sizes=(4,)))}
    blocks = {".".join(n.split(".")[4:6]) for n in names if "layer" in n}
    assert blocks == {"layer 0.0", "layer 0.1", "layer 1.0"}


def test_gates_and_steps_lie_where_their_layout_says():
    stack = on_sequences()
    arrays = interop.to_authors(stack)
    last = stack.gim_modules[-1]
    update, reset, candidate = range(3)  # the order of Keras, 3 units each
    kernel, recurrent, bias = (
        v.numpy() for v in last.autoregressor.gru.cell.trainable_variables
    )
    prefix = "fullmodel.2.autoregressor.gru"
    for gate, theirs in ((reset, 0), (update, 1), (candidate, 2)):
        rows, columns = (slice(3 * g, 3 * g + 3) for g in (theirs, gate))
        for name, ours in (("ih", kernel), ("hh", recurrent)):
            np.testing.assert_array_equal(
                arrays[f"{prefix}.weight_{name}_l0"][rows], ours[:, columns].T
            )
        for index, name in enumerate(("ih", "hh")):
            np.testing.assert_array_equal(
                arrays[f"{prefix}.bias_{name}_l0"][rows], bias[index, columns]
            )
    w_k = last.objective.w_k.numpy()  # [2, 3, 4]
    np.testing.assert_array_equal(
        arrays["fullmodel.2.loss.predictor.weight"],
        np.concatenate([w_k[0].T, w_k[1].T]),
    )
    block = stack.gim_modules[1].encoder.blocks[0]
    theirs = arrays["fullmodel.1.encoder.model.layer 0.0.weight"]
    assert theirs[3, 1, 0] == block.kernel.numpy()[0, 0, 1, 3]
    stack = on_sequences(backpropagate_through_time=False)
    assert f"{prefix}.weight_hh" in interop.to_authors(stack)


def test_what_a_mask_hides_is_zero_and_dropped():
    stack = masked_cpc()
    found = {e.name: e for e in interop.entries(stack)}
    name = "model.1.stack.layers.1.vertical_conv"
    entry, mask = found[f"{name}.weight"], found[f"{name}.mask"].constant
    shape = entry.variable.shape
    np.testing.assert_array_equal(entry.extract(np.ones(shape)), mask)
    assert entry.hidden == (1 - mask).sum() == 10 * 5 * 3
    theirs = np.random.default_rng(0).normal(size=entry.shape)
    ours = np.zeros(shape)
    entry.insert(ours, theirs)
    np.testing.assert_array_equal(entry.extract(ours), theirs * mask)


def test_names_that_are_given_twice_once_or_wrapped():
    stack = masked_cpc(seed=1)
    complete = interop.to_authors(stack)
    aliases = interop.aliases(stack)
    assert set(complete) == {*aliases, *aliases.values()}
    held = noisy(stack)
    second = {aliases[name]: name for name in aliases}
    for arrays in (
        complete,
        held,
        {second[name]: array for name, array in held.items()},
        {f"module.{name}": array for name, array in complete.items()},
        {name: a.astype(np.float64) for name, a in held.items()},
    ):
        other = masked_cpc(seed=2)
        interop.from_authors(other, arrays)
        if len(arrays) == len(complete):
            for one, two in zip(values(stack), values(other), strict=True):
                np.testing.assert_array_equal(one, two)


STEM = "model.0.0.model.Conv1"


def without(arrays):
    arrays.pop(f"{STEM}.bias")
    arrays.pop(f"encoder.0.{STEM[10:]}.bias", None)


def of_another_shape(arrays):
    arrays[f"{STEM}.weight"] = np.zeros((3, 3, 5, 5), np.float32)


def of_integers(arrays):
    arrays[f"{STEM}.bias"] = np.arange(3)


def not_finite(arrays):
    arrays[f"{STEM}.bias"] = np.array([0.0, 1e300, 0.0])  # of float64


def with_another(arrays):
    arrays["model.2.weight"] = np.zeros(1, np.float32)


def contradicting(arrays):
    arrays[f"encoder.0.{STEM[10:]}.bias"] = arrays[f"{STEM}.bias"] + 1


def masked_elsewhere(arrays):
    name = "model.1.stack.layers.0.vertical_conv.mask"
    arrays[name] = np.ones((10, 5, 3, 3), np.float32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without, f"missing: '{STEM}.bias'"),
        (with_another, "unknown: 'model.2.weight'"),
        (
            of_another_shape,
            "shape: 'model.0.0.model.Conv1.weight' "
            "(expected [3, 1, 5, 5], received [3, 3, 5, 5])",
        ),
        (of_integers, f"no floats: '{STEM}.bias' (int64)"),
        (not_finite, f"not finite: '{STEM}.bias'"),
        (contradicting, f"differ: '{STEM}.bias'"),
        (masked_elsewhere, "mask: 'model.1.stack.layers.0.vertical_conv.mask'"),
        (dict.clear, "missing: 'model.0.0.model.Conv1.weight'"),
    ],
)
def test_what_does_not_fit_is_named_and_changes_nothing(change, message):
    stack = masked_cpc()
    before = values(stack)
    arrays = noisy(stack)
    change(arrays)
    with pytest.raises(WeightsError) as refused:
        interop.from_authors(stack, arrays)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    for one, other in zip(before, values(stack), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_network_that_the_authors_do_not_have_is_refused():
    gru = on_patches(sizes=(4,), context=GRUContext(5, 3))
    with pytest.raises(WeightsError, match="received GRUContext"):
        interop.entries(gru)
    two = on_patches(context=MaskedConvContext(5))
    with pytest.raises(WeightsError, match="received 2 modules"):
        interop.to_authors(two)


def test_files_of_whole_models_and_of_single_modules(tmp_path):
    stack = on_patches(seed=1)
    arrays = interop.to_authors(stack)
    np.savez(tmp_path / "whole.npz", **arrays)
    save_file(arrays, tmp_path / "whole.safetensors")
    parts = [tmp_path / "model_0.npz", tmp_path / "model_1.safetensors"]
    first, second = (
        {
            name.removeprefix(f"encoder.{index}."): array
            for name, array in arrays.items()
            if name.startswith(f"encoder.{index}.")
        }
        for index in range(2)
    )
    np.savez(parts[0], **first)
    save_file(second, parts[1])
    for files in (
        [tmp_path / "whole.npz"],
        [tmp_path / "whole.safetensors"],
        parts,
    ):
        other = on_patches(seed=2)
        interop.from_authors(other, interop.read_weights(files))
        for one, two in zip(values(stack), values(other), strict=True):
            np.testing.assert_array_equal(one, two)
    with pytest.raises(WeightsError, match="another shape"):
        interop.from_authors(other, interop.read_weights(parts[::-1]))
    with pytest.raises(WeightsError, match=r"both hold encoder\.0\.loss"):
        interop.read_weights([tmp_path / "whole.npz"] * 2)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model_3.ckpt", b"PK", r"numpy\.savez\('model_3\.npz'"),
        ("model.PT", b"PK", "is a pickle"),
        ("model.h5", b"HDF", r"received \.h5"),
        ("model", b"", "received no suffix"),
        ("model.npz", b"PK\x03\x04 cut short", "is damaged"),
        ("model.npz", b"\x80\x04K\x01.", "is damaged"),
        ("model.npz", b"", "is damaged"),
        ("model.safetensors", b"\xff" * 40, "is damaged"),
        ("model.safetensors", b"", "is damaged"),
    ],
)
def test_other_files_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=message) as refused:
        interop.read_weights([tmp_path / name])
    assert "\n" not in str(refused.value)


def test_security_files_without_names_with_objects_or_missing(tmp_path):
    np.savez(tmp_path / "objects.npz", a=np.array([{}], object))
    np.savez(tmp_path / "empty.npz")
    with (tmp_path / "one.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    for name, message in (
        ("objects", "Object arrays"),
        ("empty", "holds no arrays"),
        ("one", "one array without a name"),
        ("absent", "No such file"),
    ):
        with pytest.raises(WeightsError, match=message):
            interop.read_weights([tmp_path / f"{name}.npz"])
    with pytest.raises(WeightsError, match="No such file"):
        interop.read_weights([tmp_path / "absent.safetensors"])


@pytest.mark.parametrize(
    "header", ["{'descr': '<f8', 'shape': ((", "{'descr': '<f8'}", "\0", "{"]
)
def test_a_damaged_array_is_named(tmp_path, header):
    member = b"\x93NUMPY\x01\0" + struct.pack("<H", 118)
    member += header.encode().ljust(118) + bytes(16)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as file:
        file.writestr("a.npy", member)
    with pytest.raises(WeightsError, match=r"x\.npz is damaged") as caught:
        interop.read_weights([tmp_path / "x.npz"])
    assert "\n" not in str(caught.value)


def test_an_archive_of_another_compression_is_named(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.zeros(3))
    content = (tmp_path / "x.npz").read_bytes()
    # In the header of the member and in the directory, 8 and 10 bytes in.
    for magic, at in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        start = content.index(magic) + at
        content = content[:start] + b"\x63\0" + content[start + 2 :]
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(WeightsError, match=r"x\.npz is damaged"):
        interop.read_weights([tmp_path / "x.npz"])


def test_a_short_float_is_a_float(tmp_path):
    header = b'{"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}'
    content = struct.pack("<Q", len(header)) + header + b"\x80\x3f\0\x40"
    (tmp_path / "bf16.safetensors").write_bytes(content)
    array = interop.read_weights([tmp_path / "bf16.safetensors"])["a"]
    assert array.dtype == np.float32
    assert array.tolist() == [1.0, 2.0]


golden = pytest.mark.skipif(
    not CASES, reason="no goldens in ../shared/goldens beside the repository"
)


@golden
@pytest.mark.parametrize(
    "case", [c for c in CASES if "_train" not in c] or ["absent"]
)
def test_names_shapes_and_counts_are_those_of_the_authors(case):
    stack = like(case)
    written = interop.entries(stack)
    assert interop.parameter_count(stack).authors == CASES[case]["nparam"]
    theirs = {name: a.shape for name, a in weights(case, shapes=True).items()}
    aliases = interop.aliases(stack)
    ours = {e.name: e.shape for e in written}
    if CASES[case]["weights"] == "recipe":  # of parameters only, and once
        ours = {e.name: e.shape for e in written if e.constant is None}
        aliases = {}
    ours |= {alias: ours[name] for alias, name in aliases.items()}
    assert ours == theirs


@golden
@pytest.mark.parametrize(
    "case",
    [
        "vision_tiny_r34_cpc",
        "vision_tiny_r50_gim",
        "audio_tiny_splits6",
        "audio_tiny_splits1_remove_BPTTTrue",
    ],
)
def test_imported_weights_compute_what_the_authors_computed(case):
    stack = like(case)
    interop.from_authors(stack, weights(case))
    arrays = np.load(GOLDENS / CASES[case]["file"])
    x = grid(arrays["input/step0"])
    for index, module in enumerate(stack.gim_modules):
        x = module.encode(x)
        z = pool_local(x)
        name = f"out/module{index}/{'z' if x.shape.rank == 4 else 'h'}"
        close(z, arrays[name])
        if module.autoregressor is not None:
            names = (f"out/module{index}/c", "out/cpc/c")
            (name,) = (name for name in names if name in arrays)
            close(module.contextualise(z), arrays[name])


def close(ours, theirs):
    """[b, t, s, c] of ours against [b, c, t, s] or [b, t, c] of theirs."""
    ours = ours.numpy()
    ours = ours.transpose(0, 3, 1, 2) if theirs.ndim == 4 else ours[:, :, 0]
    ours = ours[:, : theirs.shape[1]]
    assert np.abs(ours - theirs).max() <= 1e-5 * np.abs(theirs).max()


def grid(x):
    if x.ndim == 3:
        return tf.constant(x.transpose(0, 2, 1)[:, :, None])
    return patches.to_patches(
        tf.constant(x.transpose(0, 2, 3, 1)), size=16, stride=8
    )


def weights(case, *, shapes=False):
    """Arrays of a golden's initial state; of a recipe the shapes alone."""
    info = CASES[case]
    if info["weights"] == "recipe":
        assert shapes
        return {
            name: np.broadcast_to(np.float32(0), entry["shape"])
            for name, entry in info["recipe"].items()
        }
    arrays = np.load(GOLDENS / info["file"])
    return {
        name.removeprefix("weights/"): arrays[name]
        for name in arrays
        if name.startswith("weights/")
    }


def like(case):
    """A stack of the sizes of a golden."""
    options, arrays = CASES[case]["opt"], weights(case, shapes=True)
    steps, splits = (
        int(options[n]) for n in ("prediction_step", "model_splits")
    )
    if options["experiment"] == "vision":
        width, channels, *_ = arrays[f"{STEM}.weight"].shape
        kind = "basic" if options["resnet"] == "34" else "bottleneck"
        last = 4 * width * (1 if kind == "basic" else 4)
        return on_patches(
            kind,
            planes=(width, 2 * width, 4 * width),
            depths=(3, 4, 6),
            sizes=(4, 4, 6) if splits == 3 else (14,),
            channels=channels,
            context=None if splits == 3 else MaskedConvContext(last),
            objective=lambda seed: nce(seed, steps),
        )
    kernels = [a for n, a in arrays.items() if re.search(r"layer \d\.0\.w", n)]
    (units,) = {a.shape[1] for n, a in arrays.items() if "weight_hh" in n}
    every = options["use_autoregressive"] == "True"
    strides, paddings = (5, 4, 2, 2, 2), (2, 2, 2, 2, 1)  # of their code
    sizes = {1: (5,), 5: (1,) * 5, 6: (1,) * 5 + (0,) * (not every)}[splits]
    return on_sequences(
        sizes,
        [
            (kernel.shape[2], stride, padding)
            for kernel, stride, padding in zip(
                kernels, strides, paddings, strict=True
            )
        ],
        width=len(kernels[0]),
        units=units,
        every=every,
        objective=lambda seed: nce(seed, steps),
        backpropagate_through_time=options["remove_BPTT"] != "True",
    )
