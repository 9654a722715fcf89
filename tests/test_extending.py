"""The examples of docs/extending.md, run as a reader would run them."""

import json
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

ROOT = pathlib.Path(__file__).parents[1]
PAGE = (ROOT / 'docs' / 'extending.md').read_text(encoding='utf-8')
CODES = re.findall(r'```python\n(.*?)```', PAGE, re.DOTALL)
EXAMPLES = {
  found[1]: code for code in CODES if (found := re.match(r'"""(\w+\.py)', code))
}
(INVERT,) = (code for code in CODES if code not in EXAMPLES.values())
SCRIPT = EXAMPLES.pop('my_nnx.py')  # the others are configuration files
SMALL = [
  '--config.num_epochs=2', '--config.batch_size=300', '--config.eval_batch_size=250',
]
# Convolutions without XLA's optimization.
MORE = {name: ['--config.network.width=4'] for name in ('small_logits.py', 'my_module.py')}


@pytest.fixture(scope='module')
def train(quick_environment):
  """Trains an example, small."""

  def train_small(path, workdir):
    command = [sys.executable, '-m', 'experiments.main', f'--config={path}']
    return subprocess.run(
      [*command, f'--workdir={workdir}', *SMALL, *MORE.get(path.name, [])], check=False,
      env=quick_environment | {'PYTHONPATH': str(ROOT)}, cwd=path.parent,
      capture_output=True, text=True,
    )

  return train_small


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp('mine')
  for name, code in EXAMPLES.items():
    (folder / name).write_text(code)
  return folder


def test_the_inverse_of_a_network(capsys, little_optimization):
  expected = re.search(r'print\(.*\)  # (.*)', INVERT)[1]
  names = {}
  exec(INVERT, names)
  assert capsys.readouterr().out.strip() == expected
  assert set(names['gradients']) == set(names['variables']['params'])


def test_all_examples_are_here():
  assert list(EXAMPLES) == [
    'small_logits.py', 'my_loss.py', 'my_memory.py', 'my_network.py', 'my_module.py', 'my_data.py'
  ]


@pytest.fixture(scope='module')
def trained(folder, train):
  """Trains an example, once; returns its run's folder."""

  def train_once(name):
    workdir = folder / f'run_{name}'
    finished = train(folder / name, workdir)  # which says so where it is finished already
    assert finished.returncode == 0, finished.stderr
    return workdir

  return train_once


@pytest.mark.parametrize('name', EXAMPLES)
def test_example(name, trained):
  workdir = trained(name)
  summary = json.loads((workdir / 'summary.json').read_text())
  assert 0 <= summary['test_error'] <= 100
  config = summary['config']
  if name == 'my_loss.py':
    assert re.fullmatch(
      r'sum of .*absolute_error \(sha256 [0-9a-f]{64}\)', config['objective']['function']
    )
  if name == 'my_memory.py':
    lines = [json.loads(line) for line in (workdir / 'metrics.jsonl').open()]
    assert all(0 < line['train/least_frequent'] <= 0.1 for line in lines)
  if name == 'my_network.py':
    # Patches of 4 values to 32; mixing over 16 tokens and 32 channels; 10 classes.
    over_tokens = 64 + 16 * 32 + 32 + 32 * 16 + 16
    over_channels = 64 + 32 * 64 + 64 + 64 * 32 + 32
    assert summary['num_parameters'] == 5 * 32 + over_tokens + over_channels + 330
  if name == 'my_module.py':
    # Convolutions of 1, 4, 8 and 12 to 4 channels, batch norm before the last three, 10 classes.
    assert summary['num_parameters'] == (9 * 25 + 4) * 4 + 2 * 24 + 170
  if name == 'my_data.py':
    assert (summary['dataset'], summary['num_labeled']) == ('stripes', 20)


def test_a_run_of_a_network_of_ones_own_is_read_with_its_file(trained, folder, quick_environment):
  workdir = trained('my_module.py')
  image = folder / 'image.png'
  Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(image)

  def predict(*more):
    return subprocess.run(
      [
        sys.executable, '-m', 'experiments.predict', f'--workdir={workdir}', '--pictures', *more,
        str(image),
      ],
      check=False, env=quick_environment | {'PYTHONPATH': str(ROOT)}, cwd=folder,
      capture_output=True, text=True,
    )

  finished = predict()
  assert finished.returncode == 2
  assert finished.stderr.startswith("error: network.name: unknown 'densely_connected'; ")
  assert '--config=FILE' in finished.stderr
  finished = predict('--config=my_module.py')
  assert finished.returncode == 0, finished.stderr
  assert re.match(rf'{image}: \d [\d.]+ %, \d [\d.]+ %', finished.stdout)
  # What the network sees, and r^(0) beside it.
  assert Image.open(workdir / 'predictions' / 'image.png').size == (2 * 256 + 8, 256)


def test_script(quick_environment, tmp_path):
  (tmp_path / 'my_nnx.py').write_text(SCRIPT)
  finished = subprocess.run(
    [sys.executable, 'my_nnx.py'], check=False, cwd=tmp_path,
    env=quick_environment | {'PYTHONPATH': str(ROOT)}, capture_output=True, text=True,
  )
  assert finished.returncode == 0, finished.stderr
  error = float(re.fullmatch(r'test error ([\d.]+) %\n', finished.stdout)[1])
  assert error < 20  # of 90 by chance


def test_a_loss_that_has_changed_is_not_resumed(trained, train, tmp_path):
  path = tmp_path / 'my_loss.py'
  path.write_text(EXAMPLES['my_loss.py'].replace('jnp.abs(x - r)', 'jnp.abs(x + r)'))
  finished = train(path, trained('my_loss.py'))
  assert finished.returncode == 2
  (line,) = finished.stderr.splitlines()
  assert 'objective.function was' in line and 'absolute_error' in line


def test_the_example_loss_is_short():
  """At most 15 lines for a new loss."""
  body = re.search(r'def absolute_error.*?\n\n\n', EXAMPLES['my_loss.py'], re.DOTALL)[0]
  assert len(body.strip().splitlines()) <= 15
