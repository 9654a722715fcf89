"""Tables in Markdown, and what stands in their cells."""

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from multiscale_inversion.cli.text import printable


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
  """A table with a line a row, whatever the cells hold."""
  lines = [head, ['---'] * len(head), *rows]
  return ''.join('| ' + ' | '.join(map(_cell, line)) + ' |\n' for line in lines)


def _cell(content: Any) -> str:
  return printable(str(content)).replace('|', '\\|')


def mean_and_deviation(values: Sequence[float]) -> str:
  """The mean and, of several values, the sample standard deviation."""
  spread = f' ± {statistics.stdev(values):.2f}' if len(values) > 1 else ''
  return f'{statistics.mean(values):.2f}{spread}'
