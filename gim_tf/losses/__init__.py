"""Local objectives, interchangeable: (z, context, labels) -> output."""

from gim_tf.losses.info_nce import InfoNCE as InfoNCE
from gim_tf.losses.objective import Objective as Objective
from gim_tf.losses.objective import ObjectiveOutput as ObjectiveOutput
from gim_tf.losses.supervised import Supervised as Supervised
