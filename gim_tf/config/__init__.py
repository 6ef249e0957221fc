"""What an experiment is; imports no TensorFlow.

A run can be saved as JSON, compared with another, and overridden by dotted
path:

    resolve(experiment, ["training.num_steps=200"])
"""

from gim_tf.config.conversion import completed as completed
from gim_tf.config.conversion import differing_keys as differing_keys
from gim_tf.config.conversion import fingerprint as fingerprint
from gim_tf.config.conversion import from_dict as from_dict
from gim_tf.config.conversion import overrides as overrides
from gim_tf.config.conversion import resolve as resolve
from gim_tf.config.conversion import to_dict as to_dict
from gim_tf.config.conversion import to_json as to_json
from gim_tf.config.encoders import Conv1DConfig as Conv1DConfig
from gim_tf.config.encoders import Conv2DConfig as Conv2DConfig
from gim_tf.config.encoders import ResNetConfig as ResNetConfig
from gim_tf.config.objectives import DeepInfoMaxConfig as DeepInfoMaxConfig
from gim_tf.config.objectives import InfoNCEConfig as InfoNCEConfig
from gim_tf.config.objectives import PredSimConfig as PredSimConfig
from gim_tf.config.objectives import SupervisedConfig as SupervisedConfig
from gim_tf.config.probes import BlessingConfig as BlessingConfig
from gim_tf.config.probes import LinearConfig as LinearConfig
from gim_tf.config.probes import ProbeConfig as ProbeConfig
from gim_tf.config.probes import SequenceProbeConfig as SequenceProbeConfig
from gim_tf.config.schema import DataConfig as DataConfig
from gim_tf.config.schema import Experiment as Experiment
from gim_tf.config.schema import GRUConfig as GRUConfig
from gim_tf.config.schema import MaskedConvConfig as MaskedConvConfig
from gim_tf.config.schema import PatchViewConfig as PatchViewConfig
from gim_tf.config.schema import StackConfig as StackConfig
from gim_tf.config.schema import WindowViewConfig as WindowViewConfig
from gim_tf.config.training import TrainingConfig as TrainingConfig
from gim_tf.config.validation import check_labels as check_labels
from gim_tf.config.validation import validate as validate
