"""Encoders as lists of blocks, which the stack divides into modules."""

from gim_tf.encoders.resnet import resnet_blocks as resnet_blocks
