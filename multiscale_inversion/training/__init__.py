"""Training: its state, batches, one step, the loop over many, and the learning rate."""

from multiscale_inversion.training.batch import Batch, TrainData, gather_batch, prepare_batch
from multiscale_inversion.training.loop import (
    ResidentLoop,
    StreamedLoop,
    TrainingLoop,
    advance,
)
from multiscale_inversion.training.schedule import (
    cosine_schedule,
    piecewise_schedule,
    ramped_schedule,
)
from multiscale_inversion.training.state import (
    Keys,
    LoopState,
    Metrics,
    TrainState,
    check_axis,
    create_state,
    keys_from_seed,
)
from multiscale_inversion.training.step import TrainingStep

__all__ = [
    'Batch',
    'Keys',
    'LoopState',
    'Metrics',
    'ResidentLoop',
    'StreamedLoop',
    'TrainData',
    'TrainState',
    'TrainingLoop',
    'TrainingStep',
    'advance',
    'check_axis',
    'cosine_schedule',
    'create_state',
    'gather_batch',
    'keys_from_seed',
    'piecewise_schedule',
    'prepare_batch',
    'ramped_schedule',
]
