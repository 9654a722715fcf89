"""What the reports of studies with corrupted training images share: names, order and groups."""

import collections
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

from experiments.studies.settings import corruption_name
from multiscale_inversion.runs.finished import FinishedRun

_Measured = TypeVar('_Measured')
_Key = TypeVar('_Key', bound=Hashable)


def of_run(run: FinishedRun) -> str:
  """Return the name of the corruption of a run's training images, as `gaussian_0.5`."""
  data = run.configuration.data
  return corruption_name(data.corruption, data.corruption_level)


def in_order(names: Iterable[str], study: Sequence[tuple[str, float]]) -> list[str]:
  """Return different names: those of a study in its order, then others."""
  known, found = [corruption_name(*corruption) for corruption in study], {*names}
  return [name for name in known if name in found] + sorted(found - {*known})


def grouped(
    measured: Iterable[_Measured], key: Callable[[_Measured], _Key]
) -> dict[_Key, list[_Measured]]:
  """Group what was measured by a key, in its order."""
  groups = collections.defaultdict(list)
  for one in measured:
    groups[key(one)].append(one)
  return dict(groups)
