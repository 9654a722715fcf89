"""Compare two settings seed by seed, by the one rule that all pages use.

A difference is beyond chance if a two-sided paired t-test over the seeds that both settings share
gives p < 0.05 (Student, "The Probable Error of a Mean", Biometrika 1908). Runs with the same seed
share labels, initial weights and the order of the images, which is why they are paired.
"""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from scipy import stats

from experiments.reporting.grouping import standard_error
from multiscale_inversion.runs.finished import FinishedRun

LEVEL = 0.05


class Comparison(NamedTuple):
  """The paired difference of two settings' test errors.

  Attributes:
    seeds: number of seeds that both settings share, at least 1.
    mean: mean difference, in points of percent.
    standard_error: of the mean; nan for one seed.
    p_value: of the two-sided paired t-test; nan for one seed, or if all differences are 0.
  """

  seeds: int
  mean: float
  standard_error: float
  p_value: float

  @property
  def beyond_chance(self) -> bool:
    """Whether the difference is beyond chance; never for one seed."""
    return self.p_value < LEVEL

  def p_text(self) -> str:
    """Return the p-value for a table: two significant digits, `<0.001` below that."""
    if math.isnan(self.p_value):
      return '-'
    return '<0.001' if self.p_value < 0.001 else f'{self.p_value:.2g}'


def compare(runs: Sequence[FinishedRun], others: Sequence[FinishedRun]) -> Comparison | None:
  """Return the errors of `runs` less those of `others`, over the seeds of both.

  Args:
    runs: runs of one setting, one for each seed.
    others: runs of another setting.

  Returns:
    The comparison; None if the settings share no seed.
  """
  errors = {run.seed: run.error for run in others}
  found = [run.error - errors[run.seed] for run in runs if run.seed in errors]
  if not found:
    return None
  error = standard_error(found)
  if error > 0:
    p_value = float(stats.ttest_1samp(found, 0).pvalue)
  else:  # equal differences: certain if they are not 0, and no test for one seed
    p_value = math.nan if len(found) < 2 or not found[0] else 0.0
  return Comparison(len(found), statistics.mean(found), error, p_value)
