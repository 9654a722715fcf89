"""The inverse of a network at every layer (Eq. 7), in stages or at named submodules."""

from multiscale_inversion.inversion.linen import invert_module
from multiscale_inversion.inversion.nnx import invert_nnx_module
from multiscale_inversion.inversion.stages import Inversion, Stage, hold_in_inverse, invert

__all__ = [
    'Inversion',
    'Stage',
    'hold_in_inverse',
    'invert',
    'invert_module',
    'invert_nnx_module',
]
