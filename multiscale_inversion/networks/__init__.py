"""Networks as pure Flax modules that return every activation, one family a file."""

from multiscale_inversion.networks.large_cnn import LargeCNN
from multiscale_inversion.networks.layered import LayeredNetwork
from multiscale_inversion.networks.network import Network, merge_updates
from multiscale_inversion.networks.options import OPTION_CHECKS
from multiscale_inversion.networks.registry import (
    constructor,
    create,
    defaults,
    names,
    option_names,
    register,
)
from multiscale_inversion.networks.resnet import ResNet
from multiscale_inversion.networks.unstaged import UnstagedNetwork
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
