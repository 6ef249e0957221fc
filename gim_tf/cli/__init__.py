"""The `gim` command: one verb a job, each with its own help and examples."""

from gim_tf.cli.main import main as main
