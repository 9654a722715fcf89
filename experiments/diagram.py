"""Draw the method: `python -m experiments.diagram --out=DIR`.

`inversion.png` shows a network's chain of activations, the chain of reconstructions back from its
logits, and the loss at each layer (the paper's Fig. 1). `forms.png` shows what is compared with
what by each form of the reconstruction loss (`objective.form`).
"""

import os

from absl import flags
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.text import Text

from experiments.reporting import figures
from multiscale_inversion import files
from multiscale_inversion.cli import program as cli
from multiscale_inversion.errors import UserError

_OUT = flags.DEFINE_string('out', None, "The figures' folder.", allow_override=True)

_FORWARD, _BACKWARD, _LOSS = 'tab:blue', 'tab:red', '0.35'
_COLUMNS = (0.0, 1.0, 2.0, 3.2, 4.2)  # between the third and the fourth, layers are left out
_LAYERS = ('0', '1', '2', 'L-1', 'L')
_TOP, _BOTTOM = 1.0, 0.0
_COVER = {'facecolor': 'white', 'edgecolor': 'none', 'pad': 2}
# Forms of the loss (`losses.FORMS`): what they reconstruct, and the ways back, by columns.
_FORMS = {
  'output': ('every layer,\nfrom the logits', [(4, 3), (4, 2), (4, 1), (4, 0)]),
  'layer': ('every layer,\nfrom the next', [(4, 3), (3, 2), (2, 1), (1, 0)]),
  'input': ('the observation,\nfrom every layer', [(1, 0), (2, 0), (3, 0), (4, 0)]),
}


def main(argv: list[str]) -> int:
  """Run the program; return its exit status."""
  cli.refuse_arguments(argv)
  if not _OUT.value:
    raise UserError('--out: missing; allowed: a folder')
  files.make_folder(_OUT.value, '--out')
  figures.write(inversion(), os.path.join(_OUT.value, 'inversion.png'))
  figures.write(forms(), os.path.join(_OUT.value, 'forms.png'))
  return 0


def inversion() -> plt.Figure:
  """Draw the forward chain above the backward chain, and the losses between them."""
  figure, axes = plt.subplots(figsize=(figures.WIDTH, 3.3), layout='constrained')
  above = _draw_forward(axes, _TOP)
  names = [*(f'r^{{({layer})}}' for layer in _LAYERS[:-1]), 'z^{(L)}']
  below = [
    _box(axes, column, _BOTTOM, f'${name}$', _BACKWARD)
    for column, name in zip(_COLUMNS, names, strict=True)
  ]
  _arrow(axes, above[-1], below[-1], _BACKWARD)
  for index, layer in enumerate(_LAYERS[:-1]):
    _arrow(axes, above[index], below[index], _LOSS, arrowstyle='<->', linestyle=':')
    z, r, size = (f'{letter}^{{({layer})}}' for letter in 'zrD')
    loss = rf'$\|{z}-{r}\|^2 / {size}$'
    axes.text(_COLUMNS[index], 0.5, loss, ha='center', va='center', color=_LOSS, bbox=_COVER)
    _arrow(axes, below[index + 1], below[index], _BACKWARD)
    if _gap(index):
      _dots(axes, index, _BOTTOM, _BACKWARD)
      continue
    jacobian = rf'\partial z^{{({_next(layer)})}} / \partial z^{{({layer})}}'
    text = rf'$\times\,(\,{jacobian}\,)^{{\,T}}$'
    axes.text(_between(index), -0.18, text, ha='center', va='top', color=_BACKWARD)
  axes.text(_COLUMNS[0], 1.27, 'observation', ha='center', color=_FORWARD)
  axes.text(_COLUMNS[-1], 1.27, 'logits', ha='center', color=_FORWARD)
  _finish(axes, -0.42, 1.38)
  return figure


def forms() -> plt.Figure:
  """Draw from which activation each one is reconstructed, by the form of the loss."""
  figure, rows = plt.subplots(3, figsize=(figures.WIDTH, 4.2), layout='constrained')
  for axes, (name, (meaning, ways)) in zip(rows, _FORMS.items(), strict=True):
    _draw_forward(axes, 0)
    for start, end in ways:
      depth = -0.3 if start - end == 1 else -0.22
      ends = (_COLUMNS[start] - 0.06, -0.17), (_COLUMNS[end] + 0.06, -0.17)
      bow = f'arc3,rad={depth}'
      axes.annotate(
        '',
        ends[1],
        ends[0],
        arrowprops={'arrowstyle': '->', 'color': _BACKWARD, 'connectionstyle': bow},
      )
    axes.text(-1.5, 0.05, name, family='monospace', va='center', weight='bold')
    axes.text(-1.5, -0.12, meaning, va='top')
    _finish(axes, -0.95, 0.25)
    axes.set_xlim(-1.55, _COLUMNS[-1] + 0.3)
  return figure


def _draw_forward(axes: Axes, y: float) -> list[Text]:
  """Draw the chain of activations, and return their boxes."""
  names = ['x = z^{(0)}', *(f'z^{{({layer})}}' for layer in _LAYERS[1:])]
  boxes = [
    _box(axes, column, y, f'${name}$', _FORWARD)
    for column, name in zip(_COLUMNS, names, strict=True)
  ]
  for index, layer in enumerate(_LAYERS[:-1]):
    _arrow(axes, boxes[index], boxes[index + 1], _FORWARD)
    if _gap(index):
      _dots(axes, index, y, _FORWARD)
    else:
      name = f'$f^{{({_next(layer)})}}$'
      axes.text(_between(index), y + 0.06, name, ha='center', color=_FORWARD)
  return boxes


def _next(layer: str) -> str:
  return 'L' if layer == 'L-1' else str(int(layer) + 1)


def _gap(index: int) -> bool:
  """Return whether layers are left out after this column."""
  return _LAYERS[index + 1] == 'L-1'


def _between(index: int) -> float:
  return (_COLUMNS[index] + _COLUMNS[index + 1]) / 2


def _dots(axes: Axes, index: int, y: float, color: str) -> None:
  axes.text(_between(index), y, '...', ha='center', va='center', color=color, bbox=_COVER)


def _box(axes: Axes, x: float, y: float, text: str, color: str) -> Text:
  frame = {'boxstyle': 'round,pad=0.4', 'facecolor': 'white', 'edgecolor': color}
  return axes.text(x, y, text, ha='center', va='center', color=color, size=11, bbox=frame)


def _arrow(axes: Axes, start: Text, end: Text, color: str, **more: str) -> None:
  """Draw an arrow from box to box, which cover its ends."""
  properties = {'arrowstyle': '->', 'color': color, 'shrinkA': 3, 'shrinkB': 3, **more}
  patches = {'patchA': start.get_bbox_patch(), 'patchB': end.get_bbox_patch()}
  ends = end.get_position(), start.get_position()
  axes.annotate('', *ends, arrowprops={**properties, **patches})


def _finish(axes: Axes, low: float, high: float) -> None:
  axes.set_xlim(_COLUMNS[0] - 0.45, _COLUMNS[-1] + 0.35)
  axes.set_ylim(low, high)
  axes.set_axis_off()


if __name__ == '__main__':
  cli.run(main, needs_config=False)
