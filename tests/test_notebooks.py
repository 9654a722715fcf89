"""The notebooks of the documentation run from the first cell to the last, with their results."""

import os
import pathlib
import sys

import pytest

nbformat = pytest.importorskip('nbformat', reason='of the extra `docs`')
nbclient = pytest.importorskip('nbclient', reason='of the extra `docs`')
pytest.importorskip('ipykernel', reason='of the extra `docs`')

ROOT = pathlib.Path(__file__).parents[1]
NOTEBOOKS = ROOT / 'docs/notebooks'
MNIST = ROOT.parent / 'shared/tfds'
SECONDS = 300


def outputs(name, monkeypatch):
  """What the cells of a notebook print."""
  monkeypatch.setenv('PATH', os.pathsep.join([os.path.dirname(sys.executable), os.environ['PATH']]))
  monkeypatch.setenv('PYTHONPATH', str(ROOT))
  notebook = nbformat.read(NOTEBOOKS / f'{name}.ipynb', as_version=4)
  place = {'metadata': {'path': str(NOTEBOOKS)}}
  nbclient.NotebookClient(
    notebook, timeout=SECONDS, kernel_name='python3', resources=place
  ).execute()
  return [
    ''.join(output.get('text', '') for output in cell.outputs)
    for cell in notebook.cells if cell.cell_type == 'code'
  ]  # fmt: skip


def test_mnist_layers(monkeypatch):
  if not (MNIST / 'mnist').is_dir():
    pytest.skip('MNIST is not there')
  monkeypatch.setenv('TFDS_DATA_DIR', str(MNIST))
  _, quality, layers, *_ = outputs('mnist_layers', monkeypatch)
  assert float(quality.split()[1]) < 6  # percent; a stranger's figure is the page's 3.6
  assert layers.count('\n') == 7


def test_own_images(monkeypatch):
  _, trained, measured, _ = outputs('own_images', monkeypatch)
  assert '50 labeled, 900 unlabeled, 60 test images' in trained and 'finished: folder' in trained
  assert '\x1b' not in trained  # lines, not what a terminal draws over
  assert measured.count(': 3 ') == 3
  error = float(measured.split('\nerror ')[1].split()[0])
  assert error < 15


def test_own_loss_and_network(monkeypatch):
  *_, trained, _ = outputs('own_loss_and_network', monkeypatch)
  assert '100 labeled, 1200 unlabeled, 497 test images' in trained
  error = float(trained.split('\nerror ')[1].split()[0])
  assert error < 30  # by chance 90
