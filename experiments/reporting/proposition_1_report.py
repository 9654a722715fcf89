"""Make the tables and the figure of the study of Proposition 1 from its result file."""

import functools
import os
import statistics
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from matplotlib import pyplot as plt
from matplotlib import ticker

from experiments.reporting import corruptions, figures
from experiments.reporting.results import MeasuredRun, Stage, read_propositions
from experiments.reporting.tables import markdown, mean_and_deviation
from experiments.studies.settings import CORRUPTIONS

_COMMAND = '`python -m experiments.proposition_1 --out=results/proposition_1.json`'
_STAGES = ('initial', 'trained')
_OBJECTIVES = ('multiscale', 'global')

# (objective, corruption, L) -> the runs, one for each seed
Groups = dict[tuple[str, str, int], list[MeasuredRun]]


def grouped(measured: Iterable[MeasuredRun]) -> Groups:
  """Group runs by objective, corruption and number of layers."""
  return corruptions.grouped(
      measured,
      lambda one: (one.run.objective, corruptions.of_run(one.run), one.proposition.num_layers),
  )


def _depths(groups: Groups) -> list[int]:
  return sorted({depth for *_, depth in groups})


def _corruptions(groups: Groups) -> list[str]:
  """Return the corruptions of the study in its order, then others."""
  return corruptions.in_order((name for _, name, _ in groups), CORRUPTIONS)


def _stages(one: MeasuredRun) -> dict[str, Stage]:
  return {'initial': one.proposition.initial, 'trained': one.proposition.trained}


def share(one: MeasuredRun, stage: str) -> float:
  """Return layer 0's part of the sum of the norms of the layers' gradients."""
  return _stages(one)[stage].shares[0]


def exponent(measured: Sequence[MeasuredRun], stage: str) -> float | None:
  """Return the power p of the least-squares fit share ~ L^p, which the proposition says is -1.

  None if all runs have one depth.
  """
  depths = [one.proposition.num_layers for one in measured]
  if len({*depths}) < 2:
    return None
  shares = [share(one, stage) for one in measured]
  return float(np.polyfit(np.log(depths), np.log(shares), 1)[0])


def render(path: str) -> str:
  """Return the tables of a result file, or a line that says that there is none yet."""
  if not os.path.lexists(path):
    return f'Not measured yet: {_COMMAND}.\n'
  measured = read_propositions(path)
  groups = grouped(measured)
  epochs = sorted({round(one.run.num_epochs, 2) for one in measured})
  seeds = sorted({one.run.seed for one in measured})
  where = (
      f'Epochs: {", ".join(f"{e:g}" for e in epochs)}; seeds: {", ".join(map(str, seeds))}; '
      f'`{measured[0].run.command}`'
  )
  return f'{_main_table(groups)}\n{_exponents(groups)}\n{where}\n'


def _mean(measured: Sequence[MeasuredRun], value: Callable[[MeasuredRun], float]) -> str:
  return f'{statistics.mean(map(value, measured)):.3f}' if measured else '-'


def _main_table(groups: Groups) -> str:
  head = [
      'training images',
      'L',
      '1/L',
      'share of layer 0, initial',
      'trained',
      'in the whole gradient, multiscale',
      'global',
      'test error, %, multiscale',
      'global',
  ]
  rows = []
  for name in _corruptions(groups):
    for depth in _depths(groups):
      multiscale, global_ = (groups.get((o, name, depth), []) for o in _OBJECTIVES)
      rows.append([
          name.replace('_', ' '),
          depth,
          f'{1 / depth:.3f}',
          *(_mean(multiscale, functools.partial(share, stage=stage)) for stage in _STAGES),
          _mean(multiscale, lambda one: one.proposition.trained.input_in_multiscale),
          _mean(global_, lambda one: one.proposition.trained.input_in_global),
          *(_errors(group) for group in (multiscale, global_)),
      ])
  return markdown(head, rows)


def _errors(measured: Sequence[MeasuredRun]) -> str:
  return mean_and_deviation([one.run.error for one in measured]) if measured else '-'


def _exponents(groups: Groups) -> str:
  rows = []
  for name in _corruptions(groups):
    runs = [r for (o, n, _), g in groups.items() if (o, n) == ('multiscale', name) for r in g]
    powers = [exponent(runs, stage) for stage in _STAGES]
    rows.append([name.replace('_', ' '), *('-' if p is None else f'{p:.2f}' for p in powers)])
  return markdown(['training images', 'p in share ~ L^p, initial', 'trained'], rows)


def draw(measured: Sequence[MeasuredRun], path: str) -> None:
  """Draw the share of layer 0 against L, and the test error against the corruption.

  Args:
    measured: the runs of the result file.
    path: the PNG file.
  """
  groups = grouped(measured)
  if not groups:
    return
  figure, panels = plt.subplot_mosaic(
      [['shares', 'shares'], ['noise', 'other']],
      figsize=(figures.WIDTH, 7.4),
      layout='constrained',
      width_ratios=(1, 0.7),
  )
  _draw_shares(panels['shares'], groups)
  noise, other = panels['noise'], panels['other']
  other.sharey(noise)
  _draw_errors(noise, groups, [n for n in _corruptions(groups) if _is_noise(n)], '-')
  noise.set_xlabel('Gaussian noise, part of the largest pixel')
  _draw_errors(other, groups, [n for n in _corruptions(groups) if not _is_noise(n)], '')
  if noise.lines:
    noise.legend()
  other.set_xlabel('part of the area, of the image')
  other.set_ylabel('')
  figure.suptitle('digits, 50 labels, corrupted training images: does noise matter less in depth?')
  figures.write(figure, path)


def _is_noise(name: str) -> bool:
  return name == 'none' or name.startswith('gaussian')


def _draw_shares(axes: plt.Axes, groups: Groups) -> None:
  """Draw the shares in multiscale training, dashed before it and solid after it."""
  depths = _depths(groups)
  for index, name in enumerate(_corruptions(groups)):
    for stage, line in zip(_STAGES, ('--', '-'), strict=True):
      points = [
          (depth, statistics.mean(share(run, stage) for run in groups['multiscale', name, depth]))
          for depth in depths
          if ('multiscale', name, depth) in groups
      ]
      if points:
        label = name.replace('_', ' ') if stage == 'trained' else None
        axes.plot(
            *zip(*points, strict=True), line, color=f'C{index}', label=label, marker='o',
            markersize=4, linewidth=1.2,
        )
  axes.plot(depths, [1 / depth for depth in depths], ':', color='black', label='1/L')
  axes.set_xscale('log')
  axes.set_yscale('log')
  axes.set_xticks(depths, map(str, depths), minor=False)
  axes.set_xticks([], minor=True)
  for ticks in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
    ticks(ticker.StrMethodFormatter('{x:.2g}'))
  axes.set_xlabel('number of layers, L')
  axes.set_title('share of layer 0 in the gradient (multiscale); dashed: initial, solid: trained')
  axes.legend(loc='upper left', bbox_to_anchor=(1, 1))
  axes.grid(alpha=0.3, which='both')


def _draw_errors(axes: plt.Axes, groups: Groups, names: Sequence[str], line: str) -> None:
  depths = _depths(groups)
  for objective, marker in zip(_OBJECTIVES, ('o', 's'), strict=True):
    for index, depth in enumerate(depths):
      found = [(i, groups.get((objective, name, depth))) for i, name in enumerate(names)]
      points = [
          (i, statistics.mean(one.run.error for one in group)) for i, group in found if group
      ]
      if points:
        style = line if objective == 'multiscale' else line.replace('-', '--')
        label = f'{objective}, L = {depth}'
        fill = None if objective == 'multiscale' else 'white'
        axes.plot(
            *zip(*points, strict=True),
            linestyle=style or 'none',
            marker=marker,
            color=f'C{index}',
            markerfacecolor=fill,
            label=label,
        )
  labels = [name.removeprefix('gaussian_').replace('_', '\n') for name in names]
  axes.set_xticks(range(len(names)), labels)
  axes.set_ylabel('test error, %')
  axes.set_title('test error')
  axes.grid(alpha=0.3)
