"""Semi-supervised learning by inverting a deep network at every layer.

Balestriero, Glotin and Baraniuk, "Semi-Supervised Learning Enabled by Multiscale Deep Neural
Network Inversion", arXiv:1802.10172.
"""

from multiscale_inversion import (
    data,
    evaluation,
    losses,
    metrics,
    networks,
    objectives,
    parallel,
    precision,
    training,
)
from multiscale_inversion.any_module import invert_module
from multiscale_inversion.errors import UserError
from multiscale_inversion.inversion import Inversion, hold_in_inverse, invert
from multiscale_inversion.nnx_module import invert_nnx_module
from multiscale_inversion.trained import Trained, load
from multiscale_inversion.version import __version__

__all__ = [
    'Inversion',
    'Trained',
    'UserError',
    '__version__',
    'data',
    'evaluation',
    'hold_in_inverse',
    'invert',
    'invert_module',
    'invert_nnx_module',
    'load',
    'losses',
    'metrics',
    'networks',
    'objectives',
    'parallel',
    'precision',
    'training',
]
