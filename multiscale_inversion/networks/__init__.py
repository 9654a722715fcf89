"""Networks as pure Flax modules that return every activation, one family a file."""

from multiscale_inversion.networks.convolution import Conv, convolve
from multiscale_inversion.networks.large_cnn import LargeCNN
from multiscale_inversion.networks.layered import LayeredNetwork
from multiscale_inversion.networks.network import Network, merge_updates
from multiscale_inversion.networks.normalization import BatchNorm
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
