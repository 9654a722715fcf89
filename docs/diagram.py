"""Draw the chain of a network and of its inverse: `python docs/diagram.py`, to docs/figures."""

import pathlib

import matplotlib

matplotlib.use('Agg')
from matplotlib import pyplot as plt

_OUT = pathlib.Path(__file__).parent / 'figures/inverse.png'
_BLUE, _RED, _GREY = 'tab:blue', 'tab:red', '0.4'
_ABOVE, _BELOW = 1.5, 0.0


def main() -> None:
  """Draw the figure."""
  figure, axes = plt.subplots(figsize=(8.3, 3.1), layout='constrained')
  names = ['0', '1', '2', '3', 'L']
  for column, name in enumerate(names):
    last = name == 'L'
    text = f'$z^{{({name})}}$' + ('\nlogits' if last else '\nx' if name == '0' else '')
    _box(axes, column, _ABOVE, text, _BLUE)
    if last:
      _arrow(axes, (column, _ABOVE - 0.32), (column - 0.75, _BELOW + 0.12), _RED)
      continue
    _box(axes, column, _BELOW, f'$r^{{({name})}}$', _RED)
    _arrow(axes, (column, _ABOVE - 0.32), (column, _BELOW + 0.32), _GREY, '<->')
    axes.text(
        column + 0.06, 0.75, rf'$\|z^{{({name})}}-r^{{({name})}}\|^2/D^{{({name})}}$',
        color=_GREY, va='center', fontsize=8,
    )  # fmt: skip
    dots = name == '3'
    _arrow(axes, (column + 0.25, _ABOVE), (column + 0.75, _ABOVE), _BLUE)
    if not dots:
      _arrow(axes, (column + 0.75, _BELOW), (column + 0.25, _BELOW), _RED)
    label = '...' if dots else f'layer {int(name) + 1}'
    axes.text(column + 0.5, _ABOVE + 0.1, label, ha='center', color=_BLUE, fontsize=8)
    if not dots:
      jacobian = rf'\partial z^{{({int(name) + 1})}}/\partial z^{{({name})}}'
      factor = rf'$\times\left({jacobian}\right)^T$'
      axes.text(column + 0.5, _BELOW - 0.22, factor, ha='center', color=_RED, fontsize=8)
  axes.set_xlim(-0.35, len(names) - 0.5)
  axes.set_ylim(-0.55, 2.0)
  axes.set_axis_off()
  figure.savefig(_OUT, dpi=150)


def _box(axes: plt.Axes, x: float, y: float, text: str, color: str) -> None:
  style = {'boxstyle': 'round,pad=0.45', 'facecolor': 'white', 'edgecolor': color}
  axes.text(x, y, text, ha='center', va='center', bbox=style, color=color)


def _arrow(
    axes: plt.Axes, start: tuple[float, float], end: tuple[float, float], color: str, style='->'
) -> None:
  axes.annotate('', end, start, arrowprops={'arrowstyle': style, 'color': color})


if __name__ == '__main__':
  main()
