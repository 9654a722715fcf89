"""Data sets, label splits, corruption, normalization, and the sampler."""

from multiscale_inversion.data.corruption import corrupt
from multiscale_inversion.data.dataset import Dataset
from multiscale_inversion.data.normalization import normalize
from multiscale_inversion.data.registry import defaults, load, names, options, register
from multiscale_inversion.data.sampler import Sampler
from multiscale_inversion.data.splits import Split, split
from multiscale_inversion.data.validation import hold_out

__all__ = [
    'Dataset',
    'Sampler',
    'Split',
    'corrupt',
    'defaults',
    'hold_out',
    'load',
    'names',
    'normalize',
    'options',
    'register',
    'split',
]
