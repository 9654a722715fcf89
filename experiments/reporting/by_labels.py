"""Draw the test error against the number of labels, with a curve for each objective."""

import collections
import statistics
from collections.abc import Sequence
from typing import Any

from matplotlib import pyplot as plt
from matplotlib import ticker

from experiments.reporting import figures, grouping
from multiscale_inversion.runs.finished import FinishedRun
from multiscale_inversion.text import UniqueNames, file_name, in_figure

_LABELS = 'data.num_labeled'
# The marker and the color of an objective, whichever others are drawn.
_STYLES = {
    'supervised': ('v', 'tab:gray'),
    'entropy': ('^', 'black'),
    'global': ('s', 'tab:red'),
    'multiscale': ('o', 'tab:blue'),
}


def draw(runs: Sequence[FinishedRun], out: str) -> list[str]:
  """Draw a figure for each setting whose objectives were trained with several numbers of labels.

  Points are means over the seeds, bars are standard errors of the mean.

  Args:
    runs: runs of one seed each.
    out: the folder of the figures.

  Returns:
    The paths of the files.
  """
  panels = collections.defaultdict(list)
  for run in runs:
    panels[repr(_without_objective(run))].append(run)
  taken = UniqueNames('.png')
  return [
      figures.save(_figure(found), out, f'{file_name(found[0].dataset)}_by_labels', taken)
      for found in panels.values()
      if len({run.num_labeled for run in found}) > 1
  ]


def _without_objective(run: FinishedRun) -> dict[str, Any]:
  setting = grouping.setting(run)
  return {
      key: value
      for key, value in setting.items()
      if key != _LABELS and not key.startswith('objective.')
  }


def points(runs: Sequence[FinishedRun]) -> dict[str, list[tuple[int, float, float]]]:
  """Return the points of each objective's curve.

  Objectives with equal names but different options are numbered. If a seed occurs twice in a
  setting, the first run counts.

  Args:
    runs: runs of one seed each that differ in objective, number of labels and seed only.

  Returns:
    By objective: (number of labels, mean test error, its standard error, nan for one seed).
  """
  groups = [(_curve(group[0]), group) for group in grouping.by_setting(runs)]
  groups.sort(key=lambda pair: (pair[0], pair[1][0].num_labeled))
  names, unique = {}, UniqueNames(separator=', ')
  curves = collections.defaultdict(list)
  for curve, group in groups:
    if curve not in names:
      names[curve] = unique.take(curve[0])
    errors = [run.error for run in group]
    mean, spread = statistics.mean(errors), grouping.standard_error(errors)
    curves[names[curve]].append((group[0].num_labeled, mean, spread))
  return dict(curves)


def _curve(run: FinishedRun) -> tuple[str, str]:
  """Return an objective's name and options."""
  options = {k: v for k, v in grouping.setting(run).items() if k.startswith('objective.')}
  return grouping.objective_name(run), repr(options)


def _figure(runs: Sequence[FinishedRun]) -> plt.Figure:
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
  ticks = sorted({run.num_labeled for run in runs})
  axes.set_xscale('log')
  axes.set_yscale('log')
  axes.set_xticks(ticks, map(str, ticks))
  axes.set_xticks([], minor=True)
  axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
  axes.yaxis.set_major_formatter(ticker.StrMethodFormatter('{x:g}'))
  axes.yaxis.set_minor_locator(ticker.NullLocator())
  axes.set_xlabel('labels')
  axes.set_ylabel('test error, %')
  axes.set_title(in_figure(f'{grouping.dataset_name(runs[0])}, {grouping.network_name(runs[0])}'))
  axes.grid(alpha=0.3, which='both')
  axes.legend()
  return figure
