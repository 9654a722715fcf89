"""Objectives to minimize: sums of losses over an inversion, by name or made with combinators."""

from multiscale_inversion.objectives.context import (
    Context,
    ContextTerm,
    InitialContext,
    LossOutput,
)
from multiscale_inversion.objectives.learned import RULES
from multiscale_inversion.objectives.objective import (
    REDUCTIONS,
    Loss,
    Objective,
    Term,
    Weight,
    add,
    labeled,
    per_log_classes,
    unlabeled,
)
from multiscale_inversion.objectives.paper import (
    UNLABELED_LOSSES,
    input_reconstruction,
    labeled_cross_entropy,
    multiscale_reconstruction,
    unlabeled_entropy,
)
from multiscale_inversion.objectives.registry import (
    create,
    defaults,
    names,
    options,
    register,
)

__all__ = [
    'REDUCTIONS',
    'RULES',
    'UNLABELED_LOSSES',
    'Context',
    'ContextTerm',
    'InitialContext',
    'Loss',
    'LossOutput',
    'Objective',
    'Term',
    'Weight',
    'add',
    'create',
    'defaults',
    'input_reconstruction',
    'labeled',
    'labeled_cross_entropy',
    'multiscale_reconstruction',
    'names',
    'options',
    'per_log_classes',
    'register',
    'unlabeled',
    'unlabeled_entropy',
]
