"""The jobs, from files to files: ingest, pretrain, export, probe, embed, ...

The command line and the pipeline call the same functions; each can be killed
and run again.
"""

from gim_tf.jobs.decoupled_plan import Workers as Workers
from gim_tf.jobs.embedding import embed as embed
from gim_tf.jobs.exciting import neurons as neurons
from gim_tf.jobs.exporting import export as export
from gim_tf.jobs.exporting_flac import export_flac as export_flac
from gim_tf.jobs.growing import grow as grow
from gim_tf.jobs.importing import export_weights as export_weights
from gim_tf.jobs.importing import import_weights as import_weights
from gim_tf.jobs.ingesting import ingest as ingest
from gim_tf.jobs.pretraining import pretrain as pretrain
from gim_tf.jobs.probing import probe as probe
from gim_tf.jobs.projecting import project as project
from gim_tf.jobs.reporting import Sources as Sources
from gim_tf.jobs.reporting import report as report
from gim_tf.jobs.reporting import write_report as write_report
from gim_tf.jobs.searching import Neighbors as Neighbors
from gim_tf.jobs.searching import neighbors as neighbors
