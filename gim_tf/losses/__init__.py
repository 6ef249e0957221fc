"""Local objectives, interchangeable: (z, context, labels) -> output."""

from gim_tf.losses.deep_infomax import DeepInfoMax as DeepInfoMax
from gim_tf.losses.info_nce import InfoNCE as InfoNCE
from gim_tf.losses.negatives import Draw as Draw
from gim_tf.losses.negatives import NegativeSampler as NegativeSampler
from gim_tf.losses.negatives import PermutedNegatives as PermutedNegatives
from gim_tf.losses.negatives import RecordedNegatives as RecordedNegatives
from gim_tf.losses.negatives import SequenceNegatives as SequenceNegatives
from gim_tf.losses.negatives import ShiftedNegatives as ShiftedNegatives
from gim_tf.losses.negatives import UniformNegatives as UniformNegatives
from gim_tf.losses.objective import Objective as Objective
from gim_tf.losses.objective import ObjectiveOutput as ObjectiveOutput
from gim_tf.losses.predsim import PredSim as PredSim
from gim_tf.losses.supervised import Supervised as Supervised
from gim_tf.losses.supervised import SupervisedFrames as SupervisedFrames
