"""Layers that networks are composed of."""

from multiscale_inversion.nn.batch_norm import BatchNorm
from multiscale_inversion.nn.convolution import Conv, convolve
from multiscale_inversion.nn.dropout import Dropout

__all__ = ['BatchNorm', 'Conv', 'Dropout', 'convolve']
