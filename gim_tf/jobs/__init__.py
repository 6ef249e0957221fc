"""The jobs, from files to files: ingest, pretrain, export, probe.

The command line and the pipeline call the same four functions; each can be
killed and run again.
"""

from gim_tf.jobs.embedding import embed as embed
from gim_tf.jobs.exporting import export as export
from gim_tf.jobs.ingesting import ingest as ingest
from gim_tf.jobs.pretraining import pretrain as pretrain
from gim_tf.jobs.probing import probe as probe
