"""Runs of one setting together, and how far their mean can be trusted."""

import collections
import math
import statistics
from collections.abc import Sequence
from typing import Any

from experiments.reporting import differences


def by_setting(runs: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
  """Runs that differ in their seed alone, together and by seed; in the order of their first.

  Of a seed that occurs twice in a setting, the first run counts.
  """
  groups = collections.defaultdict(dict)
  for run in runs:
    groups[repr(differences.setting(run))].setdefault(run['seed'], run)
  return [[group[seed] for seed in sorted(group)] for group in groups.values()]


def standard_error(values: Sequence[float]) -> float:
  """Of the mean of values; nan for one value."""
  if len(values) < 2:
    return math.nan
  return statistics.stdev(values) / math.sqrt(len(values))
