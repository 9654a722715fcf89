"""Draw the paper's figures 2 to 5 from run folders."""

import io
import os
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib import pyplot as plt

from experiments.reporting import grouping
from experiments.reporting.grouping import dataset_name, network_name, objective_name
from multiscale_inversion import files, loading
from multiscale_inversion.errors import UserError
from multiscale_inversion.runs import build
from multiscale_inversion.runs.finished import FinishedRun
from multiscale_inversion.runs.folder import RunFolder
from multiscale_inversion.runs.metrics import Record, series
from multiscale_inversion.text import UniqueNames, file_name, in_figure, message

matplotlib.use('Agg')
plt.rcParams.update({'font.size': 9, 'axes.titlesize': 9, 'figure.titlesize': 10})

WIDTH = 8.3  # inches: with the letters of 9 points, readable where a page is 830 pixels wide
_DPI = 150
_NUM_IMAGES = 8
_LONGEST_SLUG = 150  # bytes


def draw(folders: Sequence[str], out: str) -> list[str]:
  """Draw the figures that the run folders allow.

  These are, for each run, its curves (Fig. 3 and 4) and reconstructions (Fig. 5), and for each pair
  of a `multiscale` and a `global` run that differ in nothing else, the layers' losses of both
  (Fig. 2). A run of several seeds is represented by its first seed.

  Args:
    folders: the folders of finished runs.
    out: the folder of the figures.

  Returns:
    The paths written.
  """
  runs = {folder: RunFolder(folder).summary().single_runs()[0] for folder in folders}
  paths, taken = [], UniqueNames('.png')

  def add(what: str, folder: str, make: Callable[..., plt.Figure], *arguments: Any) -> None:
    try:
      figure = make(*arguments)
    except UserError as error:  # a run's data may have moved
      print(message(f'{folder}: no {what} drawn: {error}'), file=sys.stderr)
    else:
      name = f'{_slug(runs[folder])}_{what.replace(" ", "_")}'
      paths.append(save(figure, out, name, taken))

  for folder, run in runs.items():
    add('curves', folder, curves, folder, run)
    add('reconstructions', folder, reconstructions, folder, run)
  for multiscale, global_ in _pairs(runs):
    add('against global', multiscale, layers_against, multiscale, global_, runs[multiscale])
  return paths


def _pairs(runs: dict[str, FinishedRun]) -> Iterable[tuple[str, str]]:
  """Yield the folders of a multiscale and a global run that are equal in all else."""

  def setting(run):
    return repr({**grouping.setting(run), 'objective.name': None, 'seed': run.seed})

  found = {(setting(run), run.objective): folder for folder, run in runs.items()}
  for (key, objective), folder in found.items():
    if objective == 'multiscale' and (key, 'global') in found:
      yield folder, found[key, 'global']


def title(run: FinishedRun) -> str:
  """Return the data set, labels, network, objective and seed, in words."""
  names = (dataset_name(run), f'{run.num_labeled} labels', network_name(run))
  return ', '.join(map(in_figure, (*names, objective_name(run), f'seed {run.seed}')))


def _slug(run: FinishedRun) -> str:
  """Return the same as the beginning of a file's name."""
  names = (dataset_name(run), run.num_labeled, network_name(run), objective_name(run))
  name = '_'.join(map(str, (*names, run.seed))).replace(', ', '_').lower()
  return file_name(name.replace('(', '').replace(')', ''), _LONGEST_SLUG)


def save(figure: plt.Figure, out: str, name: str, taken: UniqueNames) -> str:
  """Write a figure to a PNG file and close it; return its path.

  Args:
    figure: the figure.
    out: the folder.
    name: the file's name without the ending, such as `text.file_name` returns.
    taken: the names of earlier figures in the folder.
  """
  path = os.path.join(out, taken.take(name))
  write(figure, path)
  return path


def write(figure: plt.Figure, path: str) -> None:
  """Write a figure to a PNG file and close it.

  Raises:
    UserError: if the file cannot be written.
  """
  content = io.BytesIO()
  with warnings.catch_warnings():
    # A class may have any name, and the name of a data set may be long.
    warnings.filterwarnings('ignore', r'Glyph .* missing from|constrained_layout not applied')
    figure.savefig(content, dpi=_DPI, format='png')
  plt.close(figure)
  files.write_bytes(path, content.getvalue())


def _series(lines: Sequence[Record], name: str) -> tuple[list[float], list[float]]:
  """Return the epochs and values of a scalar, where it was recorded and is finite."""
  found = series(lines, name)
  return [epoch for epoch, _ in found], [value for _, value in found]


def _depth(lines: Sequence[Record]) -> int:
  return sum(name.startswith('train/reconstruction/') for name in lines[0])


def _plot_layers(axes, lines, colors) -> None:
  """Draw a curve for each layer, darker for inner layers."""
  depth = _depth(lines)
  for layer in range(depth):
    epochs, values = _series(lines, f'train/reconstruction/{layer}')
    shade = colors(0.35 + 0.65 * layer / max(1, depth - 1))
    axes.plot(epochs, values, color=shade, linewidth=1.2, label=f'layer {layer}')
  axes.set_yscale('log')
  axes.set_xlabel('epoch')
  axes.grid(alpha=0.3)


_WEIGHT = 'train/weight/'


def _plot_weights(axes, lines) -> None:
  """Draw a curve for each learned weight."""
  names = [name.removeprefix(_WEIGHT) for name in lines[0] if name.startswith(_WEIGHT)]
  fixed = {'cross_entropy': 'tab:red', 'entropy': 'black'}
  layers = [name for name in names if name not in fixed]
  shades = plt.get_cmap('Blues')(np.linspace(0.35, 1, len(layers)))
  colors = fixed | dict(zip(layers, shades, strict=True))
  for name in names:
    label = in_figure(name.replace('_', '-').replace('reconstruction/', 'layer '))
    axes.plot(*_series(lines, _WEIGHT + name), color=colors[name], linewidth=1.2, label=label)
  axes.set_xlabel('epoch')
  axes.set_title('learned weights')
  axes.legend(fontsize=7, loc='upper left', bbox_to_anchor=(1, 1))  # beside the curves
  axes.grid(alpha=0.3)


def curves(folder: str, run: FinishedRun) -> plt.Figure:
  """Draw cross-entropy and entropy, the layers' losses and the test error (Fig. 3 and 4).

  The paper has the accuracy in place of the error. The weights of the losses are drawn as well if
  they are learned.
  """
  lines = RunFolder(folder).metrics(run.seed)
  learned = any(name.startswith(_WEIGHT) for name in lines[0])
  rows, columns = (2, 2) if learned else (1, 3)
  figure, panels = plt.subplots(
      rows, columns, figsize=(WIDTH, 3.1 * rows), layout='constrained', squeeze=False
  )
  left, middle, right, *more = panels.flat
  if learned:
    _plot_weights(more[0], lines)
  for name, color in (('cross_entropy', 'tab:blue'), ('entropy', 'black')):
    left.plot(*_series(lines, f'train/{name}'), color=color, label=name.replace('_', '-'))
  left.set_yscale('log')
  left.set_xlabel('epoch')
  left.set_ylabel('nats')
  left.set_title('losses of the predictions')
  left.legend()
  left.grid(alpha=0.3)
  _plot_layers(middle, lines, plt.get_cmap('Blues'))
  middle.set_title(r'$\|z^{(\ell)} - r^{(\ell)}\|^2 / D^{(\ell)}$ by layer')
  middle.legend(fontsize=7, ncols=2)
  epochs, errors = _series(lines, 'test/error')
  right.plot(epochs, errors, color='tab:blue', marker='.', markersize=4, linewidth=1)
  right.set_ylim(bottom=0)
  right.set_xlabel('epoch')
  right.set_ylabel('%')
  right.set_title('test error')
  right.grid(alpha=0.3)
  figure.suptitle(title(run))
  return figure


def layers_against(multiscale: str, global_: str, run: FinishedRun) -> plt.Figure:
  """Draw the layers' losses in multiscale (blue) and global (red) training (Fig. 2)."""
  figure, (left, right) = plt.subplots(
      1, 2, figsize=(WIDTH, 3.6), layout='constrained', sharex=True, sharey=True
  )
  sides = ((left, multiscale, 'Blues', 'multiscale'), (right, global_, 'Reds', 'global'))
  for axes, folder, colors, name in sides:
    _plot_layers(axes, RunFolder(folder).metrics(run.seed), plt.get_cmap(colors))
    axes.set_title(f'{name} loss; darker: inner layers')
    axes.legend(fontsize=7, ncols=2)
  left.set_ylabel(r'$\|z^{(\ell)} - r^{(\ell)}\|^2 / D^{(\ell)}$')
  figure.suptitle(title(run).rsplit(', ', 2)[0])
  return figure


def reconstructions(folder: str, run: FinishedRun) -> plt.Figure:
  """Draw test images above their r^(0), with classes, predictions and errors (Fig. 5)."""
  shown = reconstruct(folder, run, _NUM_IMAGES)
  count = len(shown.images)
  figure, axes = plt.subplots(
      2, count, figsize=(WIDTH, 3.1), layout='constrained', squeeze=False
  )
  for column in range(count):
    for row, values in enumerate((shown.images[column], shown.reconstructions[column])):
      # Zero is grey. Both have the image's range, so that amplitudes can be compared.
      pixels = np.clip((values + 1) / 2, 0, 1).squeeze()
      axes[row, column].imshow(pixels, cmap='gray', vmin=0, vmax=1)
      axes[row, column].set_axis_off()
    axes[0, column].set_title(_class_title(shown.classes[column]))
    predicted = _class_title(shown.predicted[column])
    axes[1, column].set_title(f'{predicted}\n{shown.errors[column]:.3g}')
  below = 'below: reconstruction, prediction, $\\|x - r^{(0)}\\|^2 / D$'
  figure.suptitle(f'{title(run)}\nabove: image, class; {below}')
  return figure


def _class_title(name: str) -> str:
  return in_figure(textwrap.shorten(name, 18, placeholder='...'))


class Reconstructed(NamedTuple):
  """Test images of a run and their reconstructions.

  Attributes:
    images: the images, normalized.
    reconstructions: their r^(0), same shape.
    errors: (1/D) ||x - r^(0)||^2 of each.
    classes, predicted: the names of their classes and of the predictions.
  """

  images: np.ndarray
  reconstructions: np.ndarray
  errors: np.ndarray
  classes: list[str]
  predicted: list[str]


def reconstruct(folder: str, run: FinishedRun, count: int) -> Reconstructed:
  """Reconstruct the first `count` test images as in training, but without dropout.

  Batch norm uses the statistics of a batch of test images: an inverse that was trained through the
  statistics of a batch differs from that of the evaluation, whose statistics are constants. The
  predictions are those of the evaluation.
  """
  loaded = loading.load(folder, run.seed)
  config = run.configuration
  dataset = build.load_dataset(config)
  batch = dataset.test_images[: max(count, config.batch_size)]
  found = loaded.invert(batch, batch_statistics=True)
  images, inverted = np.asarray(found.activations[0]), np.asarray(found.reconstructions[0])
  errors = np.mean(np.square(images - inverted), axis=(1, 2, 3))
  names = lambda labels: [dataset.class_names[label] for label in labels]
  return Reconstructed(
      images[:count],
      inverted[:count],
      errors[:count],
      names(dataset.test_labels[:count]),
      names(loaded.predict(batch[:count])),
  )
