"""Methods from the literature to compare with, each as an objective under its own name."""

from multiscale_inversion.objectives.baselines.fixmatch import fixmatch, fixmatch_loss
from multiscale_inversion.objectives.baselines.mean_teacher import (
    ema_decay,
    mean_teacher,
    moved_average,
)
from multiscale_inversion.objectives.baselines.pi_model import pi_model
from multiscale_inversion.objectives.baselines.pseudo_label import pseudo_label, pseudo_label_loss
from multiscale_inversion.objectives.baselines.temporal_ensembling import temporal_ensembling
from multiscale_inversion.objectives.baselines.virtual_adversarial import (
    adversarial_direction,
    virtual_adversarial,
)

__all__ = [
    'adversarial_direction',
    'ema_decay',
    'fixmatch',
    'fixmatch_loss',
    'mean_teacher',
    'moved_average',
    'pi_model',
    'pseudo_label',
    'pseudo_label_loss',
    'temporal_ensembling',
    'virtual_adversarial',
]
