"""Configurations round-trip, refuse what cannot run, and say why."""

import dataclasses
import json

import pytest

from gim_tf import config, experiments
from gim_tf.errors import ConfigError


@pytest.mark.parametrize("name", experiments.names())
def test_every_experiment_validates_and_survives_json(name):
    experiment = experiments.get(name)
    config.validate(experiment)
    assert experiment.name == name
    text = config.to_json(experiment)
    assert config.from_dict(json.loads(text)) == experiment


def test_overrides_by_dotted_path(tiny):
    changed = config.resolve(
        tiny,
        [
            "training.num_steps=200",
            "stack.objective.num_negatives=8",
            "view.mean=[0.5]",
            "data.path=some/where",
        ],
    )
    assert changed.training.num_steps == 200
    assert changed.stack.objective.num_negatives == 8
    assert changed.view.mean == (0.5,)
    assert changed.data.path == "some/where"
    assert config.differing_keys(
        config.to_dict(tiny), config.to_dict(changed)
    ) == [
        "data.path",
        "stack.objective.num_negatives",
        "training.num_steps",
        "view.mean",
    ]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.num_step=3", "nearest known one is 'training.num_steps'"),
        ("training", "KEY=VALUE"),
        ("training.num_steps=many", "must be of type int"),
        ("training.num_steps=True", "must be of type int"),
        ("training.num_steps=0", "must be >= 1"),
        ("training.seed=-1", "must be >= 0"),
        ("training.learning_rate=1e999", "must be finite"),
        ("training.learning_rate=0", "must be > 0"),
        ("probe.knn_k=0", "must be >= 1"),
        ("probe.knn_temperature=0", "must be > 0"),
        ("view.std=[0.0]", "must be > 0"),
        ("view.channels=True", "must be one of"),
        ("stack.encoder.planes=[4, 0, 8]", "must be >= 1"),
        ("stack.objective.skip_steps=-1", "must be >= 0"),
        ("data.class_names=['a', 'a']", "each once"),
        ("data.pretrain_split=../x", "letters, digits"),
        ("name=../../x", "letters, digits"),
        ("training.schedule=greedy", "must be one of"),
        ("stack.objective.skip_steps=5", "smaller than the 7 grid rows"),
        ("stack.objective.kind=nothing", "must be one of"),
        ("stack.module_sizes=[1, 1]", "sum to the 4 blocks"),
        ("stack.module_sizes=[3, 1, 0]", "0 blocks only where it has an auto"),
        ("stack.module_sizes=[0, 3, 1]", "and a module below it"),
        ("stack.objective.window=0", "must be >= 1"),
        ("stack.encoder.depths=[1, 1]", "same length, received 3, 2"),
        ("stack.autoregressor=gru", "must be a mapping|must be one of"),
        ("stack.autoregressor.unit=3", "Unknown setting"),
        ("stack.objective.window=3", "smaller than the 3 grid rows of module"),
        ("view.mean=[0.1, 0.2]", "1 values each"),
        ("view.crop_size=64", "patch_size <= crop_size <= pad_to"),
    ],
)
def test_what_cannot_run_is_refused_in_one_line(tiny, override, message):
    with pytest.raises(ConfigError, match=message) as caught:
        config.resolve(tiny, [override])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["1e999", "-1e999", str(10**400)])
def test_numbers_are_finite(value):
    base = experiments.get("fashion_mnist_gim")
    with pytest.raises(ConfigError, match=r"learning_rate must be finite"):
        config.resolve(base, [f"training.learning_rate={value}"])
    broken = config.to_dict(base)
    broken["blessing"]["margin"] = float("nan")
    with pytest.raises(ConfigError, match=r"margin must be finite"):
        config.from_dict(broken)


def test_overrides_can_be_read_off_the_result(tiny):
    base = experiments.get(tiny.name)
    assert config.resolve(base, config.overrides(base, tiny)) == tiny
    assert config.overrides(base, base) == []


def test_what_ingest_finds_is_no_override():
    """Else the command that a report gives would list all speakers."""
    base = experiments.get("flite_gim")
    changed = config.resolve(base, ["training.seed=3"])
    found = {"class_names": ["a", "b"], "frame_names": ["x"]}
    ran = config.completed(changed, {**found, "mean": 0.0, "std": 0.5})
    assert ran.view.std == 0.5
    assert config.overrides(base, ran) == ["training.seed=3"]
    # What the experiment says itself is compared.
    words = config.overrides(
        experiments.get("librispeech_gim"),
        config.resolve(experiments.get("librispeech_gim"), ["view.std=0.5"]),
    )
    assert words == ["view.std=0.5"]


def test_phones_may_be_of_a_single_speaker():
    """What `gim probe` reads back and resolves once more."""
    phones = config.resolve(
        experiments.get("flite_gim"), ["probe.tasks=['phone']"]
    )
    found = {"class_names": ["ann"], "frame_names": ["x", "y"]}
    alone = config.completed(phones, found)
    assert config.resolve(alone, []) == alone
    with pytest.raises(ConfigError, match="2 or more classes"):
        config.resolve(alone, ["probe.tasks=['phone', 'speaker']"])


def test_an_autoregressor_is_brought_in_and_taken_out(tiny):
    brought = config.resolve(
        tiny,
        ["stack.autoregressor.kind=gru", "stack.autoregressor.units=3"],
    )
    assert brought.stack.autoregressor == config.GRUConfig(units=3)
    assert config.resolve(brought, ["stack.autoregressor=None"]) == tiny
    for base, changed in ((tiny, brought), (brought, tiny)):
        words = config.overrides(base, changed)
        assert config.resolve(base, words) == changed


def test_views_and_encoders_fit_each_other(tiny):
    sequence = experiments.get("librispeech_gim")
    mixed = dataclasses.replace(tiny, view=sequence.view)
    with pytest.raises(ConfigError, match=r"does not read what view\.kind"):
        config.validate(mixed)


def test_the_reach_is_checked_where_the_grid_is_shortest():
    sequence = experiments.get("librispeech_gim")
    short = ["view.length=1920", "stack.objective.prediction_steps=12"]
    with pytest.raises(ConfigError, match="12 grid rows of module 5"):
        config.resolve(sequence, short)


def test_a_view_that_leaves_no_frames_is_refused():
    supervised = experiments.get("flite_supervised")
    with pytest.raises(ConfigError, match="nothing is left after the last"):
        config.resolve(supervised, ["view.length=20"])


def test_the_first_module_reads_with_blocks_of_its_own():
    every = experiments.get("librispeech_gim_every_gru")
    with pytest.raises(ConfigError, match="and a module below it"):
        config.resolve(every, ["stack.module_sizes=[0, 2, 1, 1, 1]"])


def test_an_unknown_experiment_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match="'stl10_gim'"):
        experiments.get("stl_gim")


def test_configurations_are_frozen(tiny):
    with pytest.raises(dataclasses.FrozenInstanceError):
        tiny.training.num_steps = 3


def test_the_fingerprint_follows_the_values(tiny):
    same = config.resolve(tiny, ["training.seed=0"])
    other = config.resolve(tiny, ["training.seed=1"])
    assert config.fingerprint(tiny) == config.fingerprint(same)
    assert config.fingerprint(tiny) != config.fingerprint(other)


def test_another_kind_brings_its_own_settings(tiny):
    supervised = config.resolve(tiny, ["stack.objective.kind=supervised"])
    assert supervised.stack.objective == config.SupervisedConfig()
    back = config.resolve(
        supervised,
        [
            "stack.objective.kind=info_nce",
            "stack.objective.prediction_steps=2",
            "stack.objective.num_negatives=3",
        ],
    )
    assert back.stack.objective == config.InfoNCEConfig(
        prediction_steps=2, num_negatives=3
    )
    with pytest.raises(ConfigError, match=r"prediction_steps must be of type"):
        config.resolve(supervised, ["stack.objective.kind=info_nce"])
    for kind in ("supervised", "predsim"):
        with pytest.raises(ConfigError, match="a labelled data"):
            config.resolve(
                tiny,
                [
                    f"stack.objective.kind={kind}",
                    "data.pretrain_split=unlabelled",
                ],
            )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["kind=deep_infomax", "mi_units=1"], "must be >= 2"),
        (["kind=predsim", "similarity_weight=1.0"], "must be below 1"),
        (["kind=predsim", "similarity_of=means"], "must be one of"),
    ],
)
def test_settings_of_objectives_are_checked(tiny, words, message):
    with pytest.raises(ConfigError, match=message):
        config.resolve(tiny, [f"stack.objective.{word}" for word in words])


def test_examples_are_compared_in_pairs(tiny):
    for kind in ("deep_infomax", "predsim"):
        words = [f"stack.objective.kind={kind}", "training.batch_size=1"]
        with pytest.raises(ConfigError, match="batch_size must be >= 2"):
            config.resolve(tiny, words)
