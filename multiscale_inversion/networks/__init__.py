"""Networks as pure Flax modules that return every activation, one family a file."""

from multiscale_inversion.networks.base import (
    LayeredNetwork,
    Network,
    UnstagedNetwork,
    merge_updates,
)
from multiscale_inversion.networks.large_cnn import LargeCNN
from multiscale_inversion.networks.registry import (
    create,
    defaults,
    names,
    options,
    register,
)
from multiscale_inversion.networks.resnet import ResNet
from multiscale_inversion.nn.batch_norm import BatchNorm
from multiscale_inversion.nn.convolution import Conv, convolve

__all__ = [
    'BatchNorm',
    'Conv',
    'LargeCNN',
    'LayeredNetwork',
    'Network',
    'ResNet',
    'UnstagedNetwork',
    'convolve',
    'create',
    'defaults',
    'merge_updates',
    'names',
    'options',
    'register',
]
