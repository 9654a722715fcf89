"""Methods from the literature to compare with, each as an objective under its own name."""

from multiscale_inversion.objectives.baselines.averaged_weights import (
    averaged_weights,
    ema_decay,
    moved_average,
)
from multiscale_inversion.objectives.baselines.fixmatch import fixmatch, fixmatch_loss
from multiscale_inversion.objectives.baselines.flexmatch import flexmatch
from multiscale_inversion.objectives.baselines.freematch import freematch
from multiscale_inversion.objectives.baselines.mean_teacher import mean_teacher
from multiscale_inversion.objectives.baselines.mixmatch import mixmatch
from multiscale_inversion.objectives.baselines.pi_model import pi_model
from multiscale_inversion.objectives.baselines.pseudo_label import pseudo_label, pseudo_label_loss
from multiscale_inversion.objectives.baselines.softmatch import softmatch
from multiscale_inversion.objectives.baselines.temporal_ensembling import temporal_ensembling
from multiscale_inversion.objectives.baselines.virtual_adversarial import (
    adversarial_direction,
    virtual_adversarial,
)

__all__ = [
    'adversarial_direction',
    'averaged_weights',
    'ema_decay',
    'fixmatch',
    'fixmatch_loss',
    'flexmatch',
    'freematch',
    'mean_teacher',
    'mixmatch',
    'moved_average',
    'pi_model',
    'pseudo_label',
    'pseudo_label_loss',
    'softmatch',
    'temporal_ensembling',
    'virtual_adversarial',
]
