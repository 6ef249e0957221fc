"""The model card: every number of the probes, and nothing of this machine."""

import copy
import math

import pytest

from gim_tf import config, experiments
from gim_tf.inspection import model_card
from gim_tf.inspection.model_card import HTML, MARKDOWN, standard_error


def manifest(name, **more):
    return {
        "experiment": config.to_dict(experiments.get(name)),
        "step": 800,
        "data_fingerprint": "abc123",
        "versions": {"tensorflow": "2.16.2", "gim_tf": "0.1.0"},
        **more,
    }


def task(linear, control, classes=("cat", "dog|<b>"), **controls):
    return {
        "modules": {
            f"module_{depth}": {
                "linear_top1": value,
                "untrained_linear_top1": 0.5,
            }
            for depth, value in enumerate(linear, start=1)
        },
        "controls": {**controls, "chance": control},
        "class_names": list(classes),
        "counts": {"train": 1200, "test": 400},
    }


def probes(**tasks):
    return {"tasks": tasks, "settings": {"kind": "examples", "epochs": 3}}


def test_the_card_has_results_counts_controls_and_lineage():
    found = model_card.render(
        manifest("fashion_mnist_gim"),
        probes(**{"class": task((0.6, 0.8), 0.1, raw_top1=0.9)}),
    )
    text = found[MARKDOWN]
    assert "| module 2 | 80.0 % +- 2.0 | 50.0 % | +30.0 |" in text
    assert "| *control: linear on raw input* | 90.0 % +- 1.5 |  |  |" in text
    assert "n = 1,200 examples to fit, n = 400 to test." in text
    assert "linear on raw input is better than the encoder" in text
    assert "a guess is better" not in text
    assert "| Licence of the data | MIT |" in text
    assert "cat, dog\\|&lt;b>" in text
    assert "| Data fingerprint | abc123 |" in text
    assert "| tensorflow | 2.16.2 |" in text
    assert "seed 0" in text
    assert "`" + "manifest.json`" in text
    page = found[HTML]
    assert "dog|&lt;b&gt;" in page
    assert "80.0 % +- 2.0" in page
    assert "src=" not in page


def test_the_card_of_recordings_tells_what_to_send():
    found = model_card.render(
        manifest("flite_gim", frames={"hop": 160}),
        probes(phone=task((0.4,), 0.1), speaker=task((0.7,), 0.25)),
    )
    text = found[MARKDOWN]
    assert "nobody said any of it" in text
    assert "### Phones" in text
    assert "n = 1,200 frames to fit" in text
    assert "### Speakers" in text
    assert "uncertainty is larger" in text
    assert '"classify"](audio_bytes=files)' in text
    only = model_card.render(
        manifest("flite_gim", frames={"hop": 160}),
        probes(phone=task((0.4,), 0.1)),
    )
    assert '"classify_frames"](audio_bytes=files)' in only[MARKDOWN]


def test_the_card_of_a_variant_says_what_its_input_is():
    facts = manifest("flite_gim", frames={"hop": 160})
    results = probes(speaker=task((0.7,), 0.25))
    usual = model_card.render(facts, results)
    other = model_card.render({**facts, "requires": ["a-package"]}, results)
    for name, text in other.items():
        assert "FLAC or WAV recordings of 16 bits" in text
        assert "decodes FLAC besides WAV, without loss" in text
        assert "loads only where a-package is installed" in text
        assert "A stock TF Serving lacks them" in text
        assert 'load_encoder("the folder of this card")' in text
        assert "70.0 % +- 2.3" in text
        assert "FLAC" not in usual[name]


def test_the_card_of_an_encoder_without_heads_claims_no_result():
    found = model_card.render(manifest("flite_gim", frames={"hop": 160}), {})
    for text in found.values():
        assert "an encoder without heads" in text
        assert "has not been measured" in text
        for word in ("linear classifier", "answer", "+-", "calibrated"):
            assert word not in text


def test_other_data_imported_weights_and_one_module():
    files = [{"name": "model_300.npz", "sha256": "f00d"}]
    facts = manifest("stl10_cpc", imported={"files": files})
    facts["experiment"]["data"]["path"] = "elsewhere/somebody/stl10"
    text = model_card.render(facts, probes(**{"class": task((0.8,), 0.1)}))
    assert "see the source" in text[MARKDOWN]
    assert "imported from model_300.npz (sha256 f00d)" in text[MARKDOWN]
    assert "were imported and not trained here" in text[MARKDOWN]
    assert "trained as one module" in text[MARKDOWN]
    assert "somebody" not in "".join(text.values())


def test_equal_facts_give_equal_cards_in_any_order():
    facts = manifest("fashion_mnist_gim")
    results = probes(**{"class": task((0.6, 0.8), 0.1)})
    first = model_card.render(facts, results)
    shuffled = copy.deepcopy(facts)
    shuffled["versions"] = dict(reversed(facts["versions"].items()))
    assert model_card.render(shuffled, results) == first


def test_the_standard_error_is_that_of_a_share():
    assert standard_error(0.8, 400) == pytest.approx(0.02)
    assert math.isnan(standard_error(0.8, 0))
    assert math.isnan(standard_error(math.nan, 400))


def test_a_pipeline_s_card_has_no_summary_to_tell():
    """Prose is no part of what the Trainer gets, and so of the manifest."""
    bare = manifest("flite_gim")
    bare["experiment"]["summary"] = ""
    found = model_card.render(bare, probes(phone=task((0.6, 0.8), 0.1)))
    assert found[MARKDOWN].startswith("# Model card: flite_gim\n\n## What it")
    assert '<p class="about"></p>' not in found[HTML]
