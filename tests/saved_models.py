"""Calls signatures of SavedModels through both loaders of TensorFlow."""

import numpy as np
import tensorflow as tf

from gim_tf import build


def answer(signature, inputs):
    """What a loaded signature gives for its input among `inputs`, by name."""
    ((argument, _),) = signature.structured_input_signature[1].items()
    return signature(**{argument: tf.constant(inputs[argument])})


def assert_tf1_loader_agrees(path, signatures, inputs):
    """The TF1-style loader of TF Serving and Beam gives the same answers.

    Args:
      path: of the SavedModel.
      signatures: by name, those to compare, as TensorFlow 2 has loaded them.
      inputs: by name of the signatures' inputs.
    """
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        meta = tf.compat.v1.saved_model.loader.load(
            session, ["serve"], str(path)
        )
        assert set(signatures) <= set(meta.signature_def)
        found = {}
        for name in signatures:
            signature = meta.signature_def[name]
            ((argument, tensor),) = signature.inputs.items()
            fetches = {k: t.name for k, t in signature.outputs.items()}
            found[name] = session.run(fetches, {tensor.name: inputs[argument]})
    for name, values in found.items():
        expected = answer(signatures[name], inputs)
        assert set(values) == set(expected)
        for key, value in values.items():
            if value.dtype == np.float32:
                np.testing.assert_allclose(value, expected[key], atol=1e-6)
            else:
                np.testing.assert_array_equal(value, expected[key])


def write_untrained(experiment, directory):
    """Exports the experiment's network as it is before its first step."""
    from gim_tf import config
    from gim_tf.export.saved_model import save_encoder
    from gim_tf.jobs import exporting

    stack = build.build_stack(experiment)
    encoder, facts = (
        exporting._of_sequences(experiment, stack, experiment.view.sample_rate)
        if hasattr(experiment.view, "sample_rate")
        else exporting._of_examples(experiment, stack)
    )
    described = {
        "experiment": config.to_dict(experiment),
        "step": 0,
        "data_fingerprint": "none",
    }
    save_encoder(encoder, directory, {**facts, **described})
