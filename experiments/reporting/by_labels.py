"""The test error against the number of labels, a curve an objective."""

import collections
import statistics
from collections.abc import Collection, Sequence
from typing import Any

from matplotlib import pyplot as plt
from matplotlib import ticker

from experiments.reporting import aggregation, differences, figures, naming
from multiscale_inversion.cli.text import file_name, in_figure

_LABELS = 'data.num_labeled'
# An objective's mark and color, whichever others there are.
_STYLES = {
    'supervised': ('v', 'tab:gray'),
    'entropy': ('^', 'black'),
    'global': ('s', 'tab:red'),
    'multiscale': ('o', 'tab:blue'),
}


def draw(runs: Sequence[dict[str, Any]], out: str) -> list[str]:
  """Draws a figure for each setting whose objectives were trained with several numbers of labels.

  Means over the seeds; bars are standard errors of the mean.

  Args:
    runs: summaries of one seed each.
    out: the folder of the figures.

  Returns:
    The paths written.
  """
  panels = collections.defaultdict(list)
  for run in runs:
    panels[repr(_without_objective(run))].append(run)
  taken = set()
  return [
      figures.save(_figure(found), out, f'{file_name(found[0]["dataset"])}_by_labels', taken)
      for found in panels.values()
      if len({run['num_labeled'] for run in found}) > 1
  ]


def _without_objective(run):
  setting = differences.setting(run)
  return {
      key: value
      for key, value in setting.items()
      if key != _LABELS and not key.startswith('objective.')
  }


def points(runs: Sequence[dict[str, Any]]) -> dict[str, list[tuple[int, float, float]]]:
  """By objective: number of labels, mean and standard error (nan for one seed) of the test error.

  Objectives whose names are equal, but not their options, are numbered. Of a seed that occurs
  twice in a setting, the first run counts.

  Args:
    runs: summaries of one seed each, which differ in objective, number of labels and seed alone.
  """
  groups = [(_curve(group[0]), group) for group in aggregation.by_setting(runs)]
  groups.sort(key=lambda pair: (pair[0], pair[1][0]['num_labeled']))
  names, curves = {}, collections.defaultdict(list)
  for curve, group in groups:
    name = names.setdefault(curve, _numbered(curve[0], names.values()))
    errors = [run['test_error'] for run in group]
    mean, spread = statistics.mean(errors), aggregation.standard_error(errors)
    curves[name].append((group[0]['num_labeled'], mean, spread))
  return dict(curves)


def _curve(run) -> tuple[str, str]:
  """An objective's name and options."""
  options = {k: v for k, v in differences.setting(run).items() if k.startswith('objective.')}
  return naming.objective_name(run), repr(options)


def _numbered(name: str, taken: Collection[str]) -> str:
  number, found = 1, name
  while found in taken:
    number += 1
    found = f'{name}, {number}'
  return found


def _figure(runs) -> plt.Figure:
  figure, axes = plt.subplots(figsize=(6.4, 4.4), layout='constrained')
  curves = points(runs)
  order = list(_STYLES)
  rank = lambda name: (order.index(name) if name in order else len(order), name)
  for objective in sorted(curves, key=lambda o: rank(o.split(' ')[0])):
    marker, color = _STYLES.get(objective.split(' ')[0], ('d', None))
    labels, means, spreads = zip(*curves[objective], strict=True)
    axes.errorbar(
        labels, means, spreads, marker=marker, color=color, label=in_figure(objective), capsize=3
    )
  ticks = sorted({run['num_labeled'] for run in runs})
  axes.set_xscale('log')
  axes.set_yscale('log')
  axes.set_xticks(ticks, map(str, ticks))
  axes.set_xticks([], minor=True)
  axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
  axes.yaxis.set_major_formatter(ticker.StrMethodFormatter('{x:g}'))
  axes.yaxis.set_minor_locator(ticker.NullLocator())
  axes.set_xlabel('labels')
  axes.set_ylabel('test error, %')
  axes.set_title(in_figure(f'{naming.dataset_name(runs[0])}, {naming.network_name(runs[0])}'))
  axes.grid(alpha=0.3, which='both')
  axes.legend()
  return figure
