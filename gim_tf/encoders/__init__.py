"""Encoders as lists of blocks, which the stack divides into modules."""

from gim_tf.encoders.autoregressors import GRUContext as GRUContext
from gim_tf.encoders.autoregressors import (
    MaskedConvContext as MaskedConvContext,
)
from gim_tf.encoders.conv_audio import PaddedConv1D as PaddedConv1D
from gim_tf.encoders.conv_audio import conv1d_blocks as conv1d_blocks
from gim_tf.encoders.conv_grid import GridConv2D as GridConv2D
from gim_tf.encoders.conv_grid import conv2d_blocks as conv2d_blocks
from gim_tf.encoders.resnet import resnet_blocks as resnet_blocks
