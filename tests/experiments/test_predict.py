"""A user's images from the folder to the prediction, and the program that predicts."""

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import multiscale_inversion
from experiments.reporting import figures
from multiscale_inversion import text
from multiscale_inversion.cli import pictures
from multiscale_inversion.data import Dataset, Sampler
from multiscale_inversion.data.sources.images import Skipped
from multiscale_inversion.errors import UserError
from multiscale_inversion.runs import display
from multiscale_inversion.runs import loop as run
from multiscale_inversion.runs.finished import FinishedRun
from tests import tiny

pytestmark = pytest.mark.usefixtures('one_block')

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RED, BLUE = (220, 30, 30), (30, 30, 220)


def draw(path, color, upper, size):
  """A bright stripe in the upper or lower half."""
  path.parent.mkdir(parents=True, exist_ok=True)
  image = Image.new('RGB', size, (20, 20, 20))
  width, height = size
  top = 0 if upper else height // 2
  image.paste(color, (0, top, width, top + height // 2))
  image.save(path)


def draw_all(root):
  random = np.random.RandomState(0)
  for n in range(40):
    upper = n % 2 == 0
    name = 'unlabeled' if n >= 20 else 'upper part' if upper else 'lower part'
    size = tuple(map(int, random.randint(9, 40, 2)))
    draw(root / name / f'{n}.{"png" if n % 3 else "jpg"}', (RED, BLUE)[n % 4 // 2], upper, size)
  (root / 'unlabeled' / 'broken.png').write_text('no image')


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  folder, workdir = (tmp_path_factory.mktemp(name) for name in ('images', 'run'))
  draw_all(folder)
  config = tiny.config(**{
    'data.name': 'folder', 'data.data_dir': str(folder), 'data.num_labeled': None,
    'data.image_size': 12, 'network.width': 6, 'batch_size': 20, 'num_steps': 100,
  })
  summary = run.train_and_evaluate(config, str(workdir)).to_json()
  return folder, workdir, summary


def test_summary(trained):
  folder, workdir, summary = trained
  assert summary['dataset'] == 'folder'
  assert summary['class_names'] == ['lower part', 'upper part']
  assert summary['image_shape'] == [12, 12, 3]
  assert summary['skipped_images'] == 1
  assert summary['num_labeled'] == 16  # 4 of 20 test
  assert summary['config']['data']['num_labeled'] is None
  assert summary['config']['data']['test_fraction'] == 0.2
  assert summary['num_epochs'] == 50  # 20 unlabeled images, 10 a batch
  data = json.loads((workdir / 'data.json').read_text())
  assert data['skipped'] == [f'{folder}/unlabeled/broken.png: not a PNG or JPEG image']
  assert (data['num_train'], data['num_train_with_label'], data['num_test']) == (36, 16, 4)


def test_a_finished_run_is_not_one_on_other_images(trained, tmp_path):
  folder, workdir, summary = trained
  shutil.copytree(folder, tmp_path / 'moved')
  config = tiny.config(**{
    'data.name': 'folder', 'data.data_dir': str(tmp_path / 'moved'), 'data.num_labeled': None,
    'data.image_size': 12, 'network.width': 6, 'batch_size': 20, 'num_steps': 100,
  })
  assert run.train_and_evaluate(config, str(workdir)).test_error == summary['test_error']
  next((tmp_path / 'moved/unlabeled').glob('*.jpg')).unlink()
  with pytest.raises(UserError, match='a run on other data: num_train was 36, now 35'):
    run.train_and_evaluate(config, str(workdir))


def test_fewer_labels(trained, tmp_path):
  folder, _, _ = trained
  changes = {
    'data.name': 'folder', 'data.data_dir': str(folder), 'data.num_labeled': 4,
    'batch_size': 20, 'num_steps': 1, 'data.channels': 1, 'data.image_size': 8,
  }
  summary = run.train_and_evaluate(tiny.config(**changes), str(tmp_path)).to_json()
  assert summary['num_labeled'] == 4 and summary['image_shape'] == [8, 8, 1]
  assert summary['num_epochs'] == pytest.approx(1 / 3)  # 32 unlabeled images


def test_figures_name_the_classes(trained):
  _, workdir, summary = trained
  figure = figures.reconstructions(str(workdir), FinishedRun.from_json(summary, 'there'))
  titles = [axes.get_title() for axes in figure.axes]
  assert len(titles) == 8
  assert sorted(titles[:4]) == ['lower part'] * 2 + ['upper part'] * 2


def test_skipped_images_are_shown_up_to_some_number(capsys):
  display.show_skipped([Skipped(f'{n}.png', 'broken') for n in range(12)])
  lines = capsys.readouterr().err.splitlines()
  assert lines[:10] == [f'warning: {n}.png: broken' for n in range(10)]
  assert lines[10:] == ['warning: 12 images were skipped, 2 more than are named above']
  display.show_skipped([Skipped('a.png', 'broken')])
  assert capsys.readouterr().err.splitlines()[1:] == ['warning: 1 image was skipped']
  display.show_skipped([])
  assert capsys.readouterr().err == ''


def file_names(paths, longest=255):
  folder = pictures.Pictures('.', longest)
  return {path: os.path.basename(folder.path_for(path)) for path in dict.fromkeys(paths)}


# The program with networks of one group, as in the tests.
DRIVER = '''
import runpy
from multiscale_inversion.networks import resnet
resnet.NUM_GROUPS = 1
runpy.run_module('experiments.predict', run_name='__main__', alter_sys=True)
'''


@pytest.fixture(scope='module')
def call(quick_environment):
  """Calls the program in a process of its own."""

  def call_once(*arguments, program=('-c', DRIVER)):
    return subprocess.run(
      [sys.executable, *program, *map(str, arguments)], cwd=ROOT, check=False,
      env=quick_environment, capture_output=True, text=True, timeout=120,
    )

  return call_once


def test_the_program(trained, call, tmp_path):
  _, workdir, _ = trained
  one, other, grey = tmp_path / 'one.png', tmp_path / 'more' / 'one.png', tmp_path / 'grey.jpg'
  draw(one, RED, True, (300, 200))
  draw(other, BLUE, False, (12, 12))
  draw(grey, (220, 220, 220), True, (50, 90))
  Image.open(grey).convert('L').save(grey)
  broken, absent = tmp_path / 'broken.png', tmp_path / 'absent.png'
  broken.write_bytes(one.read_bytes()[:60])

  out = tmp_path / 'out'
  process = call(
    f'--workdir={workdir}', one, broken, other, '--top=2', absent, grey, f'--out={out}'
  )
  assert process.returncode == 1, process.stderr
  errors = process.stderr.splitlines()
  assert errors[0].startswith(f'error: {broken}: ')
  assert errors[1:] == [f'error: {absent}: no such file', f'reconstructions: {out}']
  lines = process.stdout.splitlines()
  assert len(lines) == 3
  loaded = multiscale_inversion.load(str(workdir))
  for line, path, likely in zip(lines, (one, other, grey), ('upper part', 'lower part', '')):
    found = re.fullmatch(r'(.*): (\w+ part) ([\d.]+) %, (\w+ part) ([\d.]+) %', line)
    assert found[1] == str(path)
    assert {found[2], found[4]} == {'upper part', 'lower part'}
    assert float(found[3]) >= float(found[5])
    assert float(found[3]) + float(found[5]) == pytest.approx(100, abs=0.11)
    if likely:
      assert found[2] == likely
  # The one that was 12x12 already, by NumPy and the library.
  pixels = np.asarray(Image.open(other))[None]
  probabilities = loaded.predict_proba(pixels)[0]
  shown = re.search(r'lower part ([\d.]+) %', lines[1])[1]
  assert float(shown) == pytest.approx(100 * probabilities[0], abs=0.06)

  assert sorted(path.name for path in out.iterdir()) == ['grey.png', 'one.png', 'one_2.png']
  picture = np.asarray(Image.open(out / 'one_2.png'))
  edge = picture.shape[0]
  assert edge >= 256 and edge % 12 == 0 and picture.shape[1] > 2 * edge
  step = edge // 12
  np.testing.assert_array_equal(picture[::step, :edge:step], pixels[0])
  mean = pixels[0].astype(float).mean()
  wanted = np.asarray(loaded.invert(pixels).reconstructions[0][0])
  wanted = mean + wanted * np.abs(pixels[0] - mean).max()
  right = picture[::step, -edge::step]
  np.testing.assert_allclose(right, wanted.clip(0, 255), atol=1)


def test_the_default_folder_and_a_good_end(trained, call):
  folder, workdir, _ = trained
  process = call(f'--workdir={workdir}', '--pictures', folder / 'upper part' / '2.png')
  assert process.returncode == 0
  assert (workdir / 'predictions' / '2.png').is_file()
  assert process.stdout.startswith(f'{folder}/upper part/2.png: ')


@pytest.mark.parametrize(('arguments', 'text'), [
  ([], "--workdir: missing; allowed: a run's folder"),
  (['--workdir={tmp}', 'x.png'], '{tmp}: not the folder of a run'),
  (['--workdir={run}'], 'no image; allowed: PNG or JPEG files, or folders of them'),
  (['--workdir={run}', '--seed=7', 'x.png'], 'seed: 7 is none of {run}; allowed: 0'),
  (['--workdir={run}', '--top=0', 'x.png'], 'flag --top=0'),
], ids=str)
def test_wrong_input(arguments, text, trained, call, tmp_path):
  names = {'tmp': tmp_path, 'run': trained[1]}
  arguments = [argument.format(**names) for argument in arguments]
  process = call(*arguments, program=('-m', 'experiments.predict'))
  assert process.returncode == 2
  assert process.stdout == ''
  assert len(process.stderr.splitlines()) == 1
  assert process.stderr.startswith('error: ' + text.format(**names))


def test_several_images_of_one_name_keep_their_pictures():
  paths = ['a/x.png', 'b/x.jpg', 'x_2.png', 'a/x.png']
  assert file_names(paths) == {
    'a/x.png': 'x.png', 'b/x.jpg': 'x_2.png', 'x_2.png': 'x_2_2.png'
  }


def test_grey_images():
  image = np.arange(0, 160, 10, dtype=np.uint8).reshape(4, 4, 1)
  picture = pictures.beside(image, np.zeros((4, 4, 1)))
  assert picture.mode == 'L' and picture.size == (256 * 2 + 8, 256)
  pixels = np.asarray(picture)
  np.testing.assert_array_equal(pixels[::64, :256:64], image[..., 0])
  assert (pixels[:, -256:] == 75).all()  # zero is the mean


def test_a_table_says_what_was_read():
  images, labels = np.zeros((7, 2, 2, 1), np.uint8), np.array([0, 0, 1, 2, -1, -1, 2], np.int32)
  dataset = Dataset('mine', images, labels, images[:3], labels[:3], ('a', 'NaN', 'c' * 40))
  sampler, labeled = Sampler(3, 4, 1, 1), np.array([0, 2, 3])
  assert display.describe_data(dataset, sampler, labeled) == [
    'mine: 3 labeled, 4 unlabeled, 3 test images; 3 classes',
    f'  class{" " * 28}  labeled  in all  test',
    f'  a{" " * 32}        1       2     2',
    f'  NaN{" " * 30}        1       1     1',
    f'  {"c" * 30}...        1       2     0',
  ]
  many = dataset._replace(class_names=tuple('abcdefghijklm'))
  lines = display.describe_data(many, sampler, labeled)
  assert lines[-2:] == ['  j            0       0     0', '  and 3 more']
  sequences = dataset._replace(train_images=np.zeros((7, 5, 2), np.float32))
  assert display.describe_data(sequences, sampler, labeled)[1] == (
    '  each is a sequence of 5 steps with 2 features; images have a third axis, of channels'
  )


# Names of pictures, and where they go.


@pytest.mark.parametrize('stems', [['x'] * 20_000, [f'x_{n}' for n in range(20_000)],
                                   ['x', 'x_2'] * 10_000, ['n' * 300] * 20_000,
                                   [f'{"n" * 300}{n}' for n in range(20_000)]],
                         ids=['equal', 'different', 'mixed', 'long', 'long, different'])
def test_names_are_found_in_linear_time(stems, monkeypatch):
  """Counted: how often a name is looked for among those that are taken."""
  looked = 0

  class Counted(set):
    def __contains__(self, name):
      nonlocal looked
      looked += 1
      return super().__contains__(name)

  monkeypatch.setattr(text, 'set', Counted, raising=False)
  names = file_names([f'{n}/{stem}.png' for n, stem in enumerate(stems)])
  assert len({*names.values()}) == len(stems)
  assert len(stems) <= looked <= 4 * len(stems)


@pytest.mark.parametrize('letter', ['n', 'é', '猫', '\U0001f408', '\udcff'])
@pytest.mark.parametrize('longest', [255, 143])
def test_long_names_are_cut_between_characters(letter, longest):
  paths = [f'{n}/{letter * 250}.jpg' for n in range(12)]
  names = [*file_names(paths, longest).values()]
  assert len({*names}) == len(paths)
  size = len(os.fsencode(letter))
  for name in names:
    assert longest - 16 - size < len(os.fsencode(name)) <= longest
    assert name.endswith('.png') and name.startswith(letter * 3)
  assert os.fsencode(names[0]).decode('utf-8', 'surrogateescape') == names[0]


def test_names_that_are_not_utf8_and_none():
  paths = ['a/\udcff.png', 'b/\udcff.png', 'c/.png', 'd/..', 'e/', 'f/a\nb.png']
  names = file_names(paths)
  assert [*names.values()][:2] == ['\udcff.png', '\udcff_2.png']
  assert len({*names.values()}) == 6 and not any('/' in name for name in names.values())


def test_pictures_are_written_over_no_file_elsewhere(tmp_path):
  out, outside = tmp_path / 'predictions', tmp_path / 'outside'
  out.mkdir()
  outside.write_text('mine')
  (out / 'x.png').symlink_to(outside)
  (out / 'y.png').symlink_to(tmp_path / 'absent')
  (out / 'z.png').write_text('old')
  (out / 'z.png').chmod(0o640)
  os.link(outside, out / 'hard.png')
  for name in ('x', 'y', 'z', 'hard'):
    pictures.save(Image.new('L', (3, 3)), str(out / f'{name}.png'))
    assert not (out / f'{name}.png').is_symlink()
    assert Image.open(out / f'{name}.png').size == (3, 3)
  assert outside.read_text() == 'mine' and not (tmp_path / 'absent').exists()
  assert (out / 'z.png').stat().st_mode & 0o777 == 0o640
  assert sorted(path.name for path in out.iterdir()) == ['hard.png', 'x.png', 'y.png', 'z.png']
  (out / 'folder.png').mkdir()
  with pytest.raises(UserError, match='is a folder'):
    pictures.save(Image.new('L', (3, 3)), str(out / 'folder.png'))


def test_a_link_in_place_of_the_folder_of_pictures(trained, call, tmp_path):
  folder, workdir, _ = trained
  elsewhere, run_folder = tmp_path / 'elsewhere', tmp_path / 'run'
  elsewhere.mkdir()
  shutil.copytree(workdir, run_folder)
  shutil.rmtree(run_folder / 'predictions', ignore_errors=True)
  (run_folder / 'predictions').symlink_to(elsewhere)
  process = call(f'--workdir={run_folder}', '--pictures', folder / 'upper part' / '2.png')
  assert (process.returncode, process.stdout) == (2, '')
  assert process.stderr.startswith(f'error: {run_folder}/predictions: a link, not a folder;')
  assert not [*elsewhere.iterdir()]
