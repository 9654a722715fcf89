"""Layers that networks are composed of: this package's own, which know their inverse."""

from multiscale_inversion.nn.batch_norm import BatchNorm
from multiscale_inversion.nn.blocks import BlockOptions, Classifier, ConvBlock
from multiscale_inversion.nn.convolution import Conv, convolve
from multiscale_inversion.nn.dropout import Dropout

__all__ = [
    'BatchNorm',
    'BlockOptions',
    'Classifier',
    'Conv',
    'ConvBlock',
    'Dropout',
    'convolve',
]
