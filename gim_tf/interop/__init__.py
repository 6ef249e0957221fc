"""Weights of the authors' PyTorch code, name by name, in and out."""

from gim_tf.interop.entries import Entry as Entry
from gim_tf.interop.exchange import ParameterCount as ParameterCount
from gim_tf.interop.exchange import from_authors as from_authors
from gim_tf.interop.exchange import parameter_count as parameter_count
from gim_tf.interop.exchange import to_authors as to_authors
from gim_tf.interop.files import read_weights as read_weights
from gim_tf.interop.names import aliases as aliases
from gim_tf.interop.names import entries as entries
