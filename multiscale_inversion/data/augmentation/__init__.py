"""Random changes of images that keep their class, by name.

An augmentation is a pure function `(key, images) -> images` on the device. It takes normalized
images, float32 in [-1, 1], shape [N, H, W, C], and returns images of the same shape. Each image has
random draws of its own.
"""

from multiscale_inversion.data.augmentation.registry import create, names, options, register
from multiscale_inversion.data.augmentation.weak import (
    Augmentation,
    compose,
    default_shift,
    flip,
    flip_shift,
    noise,
    none,
    shift,
)

__all__ = [
    'Augmentation',
    'compose',
    'create',
    'default_shift',
    'flip',
    'flip_shift',
    'names',
    'noise',
    'none',
    'options',
    'register',
    'shift',
]
