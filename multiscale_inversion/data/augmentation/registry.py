"""The augmentations by name."""

from multiscale_inversion.data.augmentation import weak
from multiscale_inversion.data.augmentation.strong import (
    cutout,
    flip_shift_strong,
    shift_strong,
    strong,
)
from multiscale_inversion.registry import Registry

_AUGMENTATIONS: Registry[weak.Augmentation] = Registry(
    {
        'none': weak.none,
        'noise': weak.noise,
        'shift': weak.shift,
        'flip': weak.flip,
        'flip_shift': weak.flip_shift,
        'cutout': cutout,
        'strong': strong,
        'shift_strong': shift_strong,
        'flip_shift_strong': flip_shift_strong,
    },
    # The configuration's section `augmentation` holds names under these.
    reserved=('name', 'weak', 'strong'),
)

names, register = _AUGMENTATIONS.names, _AUGMENTATIONS.register
options, create = _AUGMENTATIONS.options, _AUGMENTATIONS.create
