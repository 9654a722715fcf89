"""Tables in Markdown, and what stands in their cells."""

import statistics
from collections.abc import Iterable, Sequence
from typing import Any


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
  """A table with a line a row."""
  lines = [head, ['---'] * len(head), *rows]
  return ''.join('| ' + ' | '.join(map(str, line)) + ' |\n' for line in lines)


def mean_and_deviation(values: Sequence[float]) -> str:
  """The mean and, of several values, the sample standard deviation."""
  spread = f' ± {statistics.stdev(values):.2f}' if len(values) > 1 else ''
  return f'{statistics.mean(values):.2f}{spread}'
