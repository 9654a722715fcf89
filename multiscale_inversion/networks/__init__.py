"""Networks as pure Flax modules that return every activation, one family a file."""

from multiscale_inversion.networks.base import (
    LayeredNetwork,
    Network,
    UnstagedNetwork,
    merge_updates,
)
from multiscale_inversion.networks.large_cnn import LargeCNN
from multiscale_inversion.networks.registry import (
    OPTION_CHECKS,
    constructor,
    create,
    defaults,
    names,
    option_names,
    register,
)
from multiscale_inversion.networks.resnet import ResNet
from multiscale_inversion.nn.batch_norm import BatchNorm
from multiscale_inversion.nn.convolution import Conv, convolve

__all__ = [
    'OPTION_CHECKS',
    'BatchNorm',
    'Conv',
    'LargeCNN',
    'LayeredNetwork',
    'Network',
    'ResNet',
    'UnstagedNetwork',
    'constructor',
    'convolve',
    'create',
    'defaults',
    'merge_updates',
    'names',
    'option_names',
    'register',
]
