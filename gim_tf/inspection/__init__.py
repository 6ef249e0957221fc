"""What a run looks like: charts, the report, TensorBoard and projector files.

Nothing is imported here, so that reading a report's data needs no plotting
library and only `gim_tf.inspection.tensorboard` needs TensorFlow.
"""
