"""Keep the network with the lowest validation error, and say when training no longer lowers it.

Early stopping by patience: a training ends after a number of evaluations in a row without a new
lowest error (Goodfellow et al., Deep Learning, 2016, Algorithm 7.1).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np


@dataclasses.dataclass(frozen=True)
class Best:
  """The evaluation of one seed with the lowest validation error, the first of equal ones.

  Attributes:
    step: number of steps done then.
    validation_error: in percent.
    test_error: of the same network, in percent; None without test images.
  """

  step: int
  validation_error: float
  test_error: float | None


class Kept:
  """What was best so far, for each seed.

  Args:
    num_seeds: number of seeds.
    patience: number of evaluations in a row without a new lowest error after which `is_exhausted`;
      None for never.
    keeps_variables: whether the variables are kept, too.
  """

  def __init__(self, num_seeds: int, patience: int | None, keeps_variables: bool):
    self.best: list[Best | None] = [None] * num_seeds
    self.variables: Any = None
    self._patience = patience
    self._keeps_variables = keeps_variables
    self._num_without = 0

  def update(
      self,
      step: int,
      validation_errors: Sequence[float],
      test_errors: Sequence[float],
      variables: Any,
  ) -> None:
    """Take in an evaluation.

    Args:
      step: number of steps done.
      validation_errors: of each seed, in percent.
      test_errors: likewise; empty without test images.
      variables: of the evaluated networks; of several seeds, with a leading axis of seeds.
    """
    better = np.zeros(len(self.best), bool)
    for index, error in enumerate(validation_errors):
      best = self.best[index]
      better[index] = best is None or error < best.validation_error
      if better[index]:
        self.best[index] = Best(step, error, test_errors[index] if test_errors else None)
    self._num_without = 0 if better.any() else self._num_without + 1
    if self._keeps_variables and better.any():
      self.variables = self._chosen(better, jax.device_get(variables))

  def is_exhausted(self) -> bool:
    """Return whether the last `patience` evaluations lowered no seed's error."""
    return self._patience is not None and self._num_without >= self._patience

  def notes(self) -> dict[str, Any]:
    """Return all but the variables as a JSON object, for a checkpoint."""
    best = [None if one is None else dataclasses.asdict(one) for one in self.best]
    return {'best': best, 'num_without': self._num_without}

  def restore(self, notes: Mapping[str, Any], variables: Any) -> None:
    """Take up what a checkpoint holds.

    Args:
      notes: as `notes` returned them.
      variables: those of the checkpoint.
    """
    self.best = [None if one is None else Best(**one) for one in notes['best']]
    self._num_without = notes['num_without']
    if self._keeps_variables and any(self.best):
      self.variables = variables

  def _chosen(self, better: np.ndarray, variables: Any) -> Any:
    """Return the new variables of the seeds that got better, and the old ones of the others."""
    if self.variables is None or len(better) == 1:
      return variables

    def choose(old, new):
      return np.where(better.reshape(-1, *[1] * (new.ndim - 1)), new, old)

    return jax.tree.map(choose, self.variables, variables)
