"""Augmentations of images, by name."""

from multiscale_inversion.data.augmentation.weak import (
    compose,
    create,
    default_shift,
    flip,
    flip_shift,
    names,
    noise,
    none,
    register,
    shift,
)

__all__ = [
    'compose',
    'create',
    'default_shift',
    'flip',
    'flip_shift',
    'names',
    'noise',
    'none',
    'register',
    'shift',
]
