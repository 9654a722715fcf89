"""The console program from any folder: its commands, own images, configurations by name."""

import csv
import io
import json
import shutil
import subprocess
import sys

import jax
import jax.export
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

import multiscale_inversion as mi
from multiscale_inversion.cli import program
from multiscale_inversion.version import __version__

RUN = [sys.executable, '-c', 'from multiscale_inversion.cli.main import main; main()']
FEW = ['--config.num_steps=2', '--config.network.width=2', '--config.network.blocks_per_group=1']


@pytest.fixture(scope='module')
def call(quick_environment):
  def call_once(where, *arguments, status=0):
    done = subprocess.run(
      [*RUN, *map(str, arguments)], cwd=where, env=quick_environment, capture_output=True,
      text=True, timeout=300, check=False,
    )
    assert done.returncode == status, done.stderr
    assert 'Traceback' not in done.stderr
    return done

  return call_once


@pytest.fixture(scope='module')
def place(tmp_path_factory, call):
  """A folder with images, a folder `experiments` of the user's own, and a run on the images."""
  where = tmp_path_factory.mktemp('somewhere')
  digits = load_digits()
  kept = np.flatnonzero(digits.target < 3)[:60]
  for index in kept:
    name = f'c{digits.target[index]}' if index < kept[30] else 'unlabeled'
    (where / 'images' / name).mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray((digits.images[index] * 15).astype(np.uint8))
    picture.save(where / 'images' / name / f'{index}.png')
  (where / 'experiments').mkdir()
  (where / 'experiments' / '__init__.py').write_text('raise RuntimeError("not the library")\n')
  changes = ['--config.data.image_size=8', '--config.batch_size=10', *FEW]
  done = call(where, 'train', '--data=images', *changes)
  return where, done


def test_trains_on_a_folder(place):
  where, done = place
  assert 'folder: ' in done.stderr and '30 unlabeled' in done.stderr
  assert 'next: multiscale-inversion predict --workdir=runs/images IMAGE...' in done.stderr
  assert done.stdout.startswith('finished: folder, ') and done.stdout.endswith('see runs/images\n')
  summary = json.loads((where / 'runs' / 'images' / 'summary.json').read_text())
  assert summary['config']['recipe'] == 'few_labels'
  assert summary['command'].startswith('multiscale-inversion train --data=images ')


def test_predicts_folders_in_each_format(place, call):
  where, _ = place
  network = mi.load(where / 'runs' / 'images')
  wanted = network.predict_proba(where / 'images' / 'c1')
  files = sorted(f'images/c1/{path.name}' for path in (where / 'images' / 'c1').iterdir())
  classes = [network.class_names[index] for index in wanted.argmax(-1)]

  lines = call(where, 'predict', '--workdir=runs/images', 'images/c1', '--top=1').stdout
  assert [line.split(': ')[0] for line in lines.splitlines()] == files
  assert [line.split(': ')[1].split(' ')[0] for line in lines.splitlines()] == classes
  assert not (where / 'runs' / 'images' / 'predictions').exists()

  table = call(where, 'predict', '--workdir=runs/images', '--format=csv', 'images/c1').stdout
  head, *rows = csv.reader(io.StringIO(table))
  assert head == ['file', 'class', 'c0', 'c1', 'c2']
  assert [row[:2] for row in rows] == [list(pair) for pair in zip(files, classes)]
  found = np.array([[float(cell) for cell in row[2:]] for row in rows])
  np.testing.assert_allclose(found, wanted, atol=1e-5)

  likely = wanted.max(-1)
  threshold = float(np.median(likely))
  ended = call(
    where, 'predict', '--workdir=runs/images', '--format=json', f'--threshold={threshold}',
    'images/c1',
  )
  objects = [json.loads(line) for line in ended.stdout.splitlines()]
  decided = [name if p >= threshold else None for name, p in zip(classes, likely)]
  assert [(one['file'], one['class']) for one in objects] == [*zip(files, decided)]
  count = decided.count(None)
  assert f'{count} of {len(files)} undecided, by less than {threshold:g}' in ended.stderr
  assert [*objects[0]['probabilities']] == ['c0', 'c1', 'c2']


def test_pictures_on_request(place, call, tmp_path):
  where, _ = place
  call(where, 'predict', '--workdir=runs/images', f'--out={tmp_path}', 'images/c1')
  assert len([*tmp_path.iterdir()]) == len([*(where / 'images' / 'c1').iterdir()])


def test_evaluates_and_reports(place, call, tmp_path):
  where, _ = place
  network = mi.load(where / 'runs' / 'images')
  text = call(
    where, 'evaluate', '--workdir=runs/images', '--format=json', '--threshold=0.4', 'images'
  ).stdout
  found = json.loads(text)
  paths = [*(where / 'images').glob('c*/*.png')]
  labels = np.array([int(path.parent.name[1]) for path in paths])
  measured = network.evaluate(paths, labels)
  assert found['error'] == pytest.approx(measured.error)
  likely = network.predict_proba(paths).max(-1)
  assert found['coverage'] == pytest.approx(np.mean(likely >= 0.4))
  assert found['confusion'] == measured.confusion.tolist()
  own = call(where, 'evaluate', '--workdir=runs/images').stdout
  summary = json.loads((where / 'runs' / 'images' / 'summary.json').read_text())
  assert own.startswith(f'error {summary["test_error"]:.2f} %')

  network.save(tmp_path / 'network.npz')
  of_file = call(where, 'evaluate', f'--workdir={tmp_path}/network.npz', 'images').stdout
  assert of_file == call(where, 'evaluate', '--workdir=runs/images', 'images').stdout

  table = call(where, 'report', 'runs').stdout.splitlines()
  assert table[0].startswith('| run ') and len(table) == 3
  cells = [cell.strip() for cell in table[2].strip('|').split('|')]
  assert cells[:6] == [
    'runs/images', 'folder', str(summary['num_labeled']), 'resnet', 'multiscale', '0'
  ]
  assert cells[6] == f'{summary["test_error"]:.2f}'


def test_evaluates_a_folder_in_python(place):
  where, _ = place
  network = mi.load(where / 'runs' / 'images')
  paths = [*(where / 'images').glob('c*/*.png')]
  labels = np.array([int(path.parent.name[1]) for path in paths])
  measured = network.evaluate(where / 'images')
  np.testing.assert_array_equal(measured.confusion, network.evaluate(paths, labels).confusion)
  with pytest.raises(TypeError, match='labels: none beside a list; allowed: none beside the path'):
    network.evaluate(paths)
  with pytest.raises(mi.UserError, match='observations: gone: no such folder or file'):
    network.evaluate('gone')


def test_reports_what_no_column_shows(place, call, tmp_path):
  where, _ = place
  for name in ('a', 'b'):
    shutil.copytree(where / 'runs' / 'images', tmp_path / 'runs' / name)
  changed = tmp_path / 'runs' / 'b' / 'summary.json'
  record = json.loads(changed.read_text())
  rate = record['config']['learning_rate']
  record['config']['learning_rate'] = 0.5
  changed.write_text(json.dumps(record))
  lines = call(tmp_path, 'report', 'runs').stdout.splitlines()
  assert lines[-4:] == [
    '', 'The configurations also differ in:', '', f'- learning_rate: {rate} or 0.5'
  ]


def test_a_folder_of_any_name_is_one_cell_of_a_report(place, call, tmp_path):
  where, _ = place
  shutil.copytree(where / 'runs' / 'images', tmp_path / 'runs' / 'a|b\nc')
  head, _, row = call(tmp_path, 'report', 'runs').stdout.splitlines()
  assert row.startswith(r'| runs/a\|b\nc ')
  assert row.replace(r'\|', '').count('|') == head.count('|')


def test_exports(place, call, tmp_path):
  where, _ = place
  done = call(where, 'export', '--workdir=runs/images', f'--out={tmp_path}/program')
  assert 'takes float32 (N, 8, 8, 1), for cpu, cuda, tpu' in done.stderr
  program = jax.export.deserialize(bytearray((tmp_path / 'program').read_bytes()))
  x = np.random.RandomState(0).randint(0, 256, (3, 8, 8, 1)).astype(np.float32)
  wanted = mi.load(where / 'runs' / 'images').predict_proba(x)
  np.testing.assert_allclose(program.call(x), wanted, rtol=1e-4, atol=1e-5)


def test_a_configuration_by_name_and_one_with_a_module_beside_it(call, tmp_path):
  done = call(tmp_path, 'train', '--config=digits_50', *FEW)
  assert 'next: multiscale-inversion evaluate --workdir=runs/digits_50\n' in done.stderr
  assert json.loads((tmp_path / 'runs' / 'digits_50' / 'summary.json').read_text())
  (tmp_path / 'mine').mkdir()
  (tmp_path / 'mine' / 'beside.py').write_text('STEPS = 1\n')
  (tmp_path / 'mine' / 'config.py').write_text(
    'import beside\nfrom multiscale_inversion.configs import digits_50\n\n\ndef get_config():\n'
    '  config = digits_50.get_config()\n  config.num_steps = beside.STEPS\n  return config\n'
  )
  call(tmp_path, 'train', '--config=mine/config.py', *FEW[1:], '--workdir=own')
  assert json.loads((tmp_path / 'own' / 'summary.json').read_text())['num_steps'] == 1


def test_the_next_command_names_the_file_of_an_own_network(call, tmp_path):
  (tmp_path / 'mine.py').write_text(
    'from multiscale_inversion import networks\n'
    'from multiscale_inversion.networks.mlp import MLP\n'
    'from multiscale_inversion.runs import defaults\n\n\n'
    'class Mine(MLP):\n  pass\n\n\n'
    "networks.register('mine', Mine)\n\n\n"
    "def get_config():\n  config = defaults.get_config()\n  config.data.name = 'digits'\n"
    "  config.data.num_labeled, config.network.name = 50, 'mine'\n  return config\n"
  )
  done = call(tmp_path, 'train', '--config=mine.py', '--config.num_steps=1', '--workdir=own')
  proposed = 'evaluate --workdir=own --config=mine.py'
  assert f'next: multiscale-inversion {proposed}\n' in done.stderr
  assert call(tmp_path, *proposed.split()).stdout.startswith('error ')


def test_help_and_version(call, tmp_path):
  assert call(tmp_path, '--version').stdout == f'multiscale_inversion {__version__}\n'
  for arguments in ([], ['--help'], ['-h'], ['help']):
    text = call(tmp_path, *arguments).stdout
    assert all(f'\n    {name} ' in text for name in ('train', 'predict', 'evaluate', 'report'))
  for name in ('train', 'predict', 'evaluate', 'export', 'report', 'prepare'):
    assert f'multiscale-inversion {name}' in call(tmp_path, name, '--help').stdout


@pytest.mark.parametrize(('arguments', 'message'), [
  (['trian'], "unknown command 'trian', nearest train; allowed: train, "),
  (['train'], '--config: missing; allowed: --data=DIR, or --config with digits_50, folder, mnist'),
  (['train', '--data'], '--data: missing; allowed: a folder of images, or a CSV file'),
  (['train', '--data=gone'], 'data.data_dir: '),
  (['train', '--config=digits_5'], '--config: no file digits_5: it is not there'),
  (['train', '--config=digits_500'], ', nearest digits_50; allowed: digits_50, folder, mnist_50'),
  (['train', '--dta=images'], "Unknown command line flag 'dta', nearest --data; allowed: --config"),
  (['predict', '--dta=images'], "Unknown command line flag 'dta'"),
  (['predict', '--data=images', 'a.png'], '--data: not a flag of this program'),
  (['predict', 'a.png'], '--workdir: missing'),
  (['predict', '--workdir=runs/images', '--format=xml', 'a.png'],
   'flag --format=xml; allowed: text, csv, json'),
  (['predict', '--workdir=runs/images', 'runs'], 'runs: no image; allowed: files that end in'),
  (['evaluate', '--workdir=runs/images', 'gone'], 'IMAGES: gone: no such folder or file'),
  (['evaluate', '--workdir=runs/images', 'images', 'more'], 'more: one too many'),
  (['export', '--workdir=runs/images'], '--out: missing; allowed: the file to write'),
  (['export', '--workdir=runs/images', '--out=gone/x'], 'gone/x: cannot be written'),
  (['report'], "which runs? allowed: runs' folders"),
  (['report', 'images'], 'images: holds no finished run'),
  (['report', 'gone'], 'gone: no such folder'),
])
def test_wrong_use_is_one_line(place, call, arguments, message):
  done = call(place[0], *arguments, status=2)
  assert message in done.stderr
  assert done.stderr.startswith('error: ') and done.stderr.count('\n') == 1


def test_images_of_another_class(place, call, tmp_path):
  where, _ = place
  for name in ('c0', 'other'):
    (tmp_path / 'set' / name).mkdir(parents=True)
    Image.new('L', (8, 8)).save(tmp_path / 'set' / name / 'a.png')
  done = call(where, 'evaluate', '--workdir=runs/images', tmp_path / 'set', status=2)
  assert 'other/a.png: of class other; allowed: c0, c1, c2' in done.stderr


def test_the_librarys_configurations_are_those_of_the_checkout():
  """`experiments/NAME.py` and the name alone are the same configuration."""
  for name in program._own_configs():
    assert program._load(name) == program._load(f'experiments/{name}.py')
