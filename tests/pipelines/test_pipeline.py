"""The pipeline as it is built; nothing of it runs here."""

import pytest

pytestmark = pytest.mark.pipeline


def trainer_key(experiment, folder, **options):
    from pipelines.pipeline import create_pipeline
    from pipelines.settings import Options, Places

    places = Places.under(str(folder), name="n", schema_file="schema.pbtxt")
    pipeline = create_pipeline(
        experiment,
        places,
        data_fingerprint="f",
        options=Options(**options),
    )
    (trainer,) = (c for c in pipeline.components if c.id == "Trainer")
    return trainer.exec_properties["custom_config"]


def test_only_a_named_checkpoint_changes_the_trainers_key(small, tmp_path):
    usual = trainer_key(small, tmp_path)
    assert trainer_key(small, tmp_path, resume="never") == usual
    assert trainer_key(small, tmp_path, resume="other/ckpt-4") != usual
