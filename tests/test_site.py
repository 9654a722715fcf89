"""The pages that the documentation site adds: their examples run, and what they name exists."""

import importlib
import pathlib
import re

import pytest
from PIL import Image
from sklearn.datasets import load_digits

import multiscale_inversion as mi
from multiscale_inversion.data import augmentation

ROOT = pathlib.Path(__file__).parents[1]
DOCS = ROOT / 'docs'


def page(name):
  return (DOCS / name).read_text(encoding='utf-8')


def run(name, change=lambda code: code):
  """Runs the examples of a page, which follow one another."""
  names = {}
  codes = re.findall(r'```python\n(.*?)```', page(name), re.DOTALL)
  assert codes
  for code in codes:
    exec(change(code), names)
  return names


def test_quickstart(capsys, tmp_path, monkeypatch, little_optimization):
  monkeypatch.chdir(tmp_path)
  names = run('quickstart.md', lambda code: code.replace('num_steps=300', 'num_steps=20'))
  shown = capsys.readouterr()
  assert shown.out.startswith('TrainedNetwork(resnet, 319,946 parameters, observations of 8x8x1')
  assert len(re.findall(r'^\d \(.*\) error 0\.\d+ of 0\.\d+$', shown.out, re.MULTILINE)) == 7
  assert '50 labeled, 1450 unlabeled, 297 test images' in shown.err
  assert repr(names['same']) == repr(names['network'])
  assert names['network'].step == 20 and 0 < float(shown.out.splitlines()[-1]) < 90


def test_how_it_works():
  run('how_it_works.md')


def test_own_images(capsys, tmp_path, monkeypatch, little_optimization):
  monkeypatch.chdir(tmp_path)
  digits = load_digits()
  options = {'network': {'name': 'mlp', 'width': 8}, 'class_names': [*'abcdefghij']}
  mi.fit(digits.images[..., None], digits.target, num_steps=2, workdir='runs/mine', **options)
  (tmp_path / 'holiday').mkdir()
  for index in range(3):
    image = Image.fromarray((digits.images[index] * 15).astype('uint8'))
    image.save(tmp_path / f'holiday/{index}.png')
  run('own_images.md')
  assert re.fullmatch(r"\['[a-j]', '[a-j]', '[a-j]'\]\n", capsys.readouterr().out)


def test_own_images_names_augmentations():
  named = re.findall(r'augmentation\.weak=(\w+)', page('own_images.md'))
  assert named and {*named, 'shift'} <= {*augmentation.names()}


def test_all_objectives_are_described():
  described = page('choosing.md').split('## All objectives')[1].split('\n## ')[0]
  assert {*mi.objectives.names()} <= {*re.findall(r'`(\w+)`', described)}


def test_numbers_of_results_are_on_their_page_alone():
  assert not re.search(r'\d %|±', page('choosing.md') + page('how_it_works.md'))


@pytest.mark.parametrize('name', ['how_it_works.md', 'api.md'])
def test_what_a_page_names_exists(name):
  modules = 'data|evaluation|losses|metrics|networks|nn|objectives|training'
  named = set(re.findall(rf'`((?:mi\.)?(?:{modules})\.[\w.]+)', page(name)))
  assert name == 'api.md' or len(named) > 20
  for path in named:
    module, *rest = path.removeprefix('mi.').split('.')
    value = importlib.import_module(f'multiscale_inversion.{module}')
    for part in rest:
      value = getattr(value, part)


def test_the_reference_is_complete():
  """Each public name stands below the module that exports it."""
  documented, module = set(), ''
  for line in page('api.md').splitlines():
    if found := re.match(r'\.\. currentmodule:: multiscale_inversion\.?(.*)', line):
      module = found[1]
    if found := re.match(r'\.\. (?:auto\w+|py:\w+):: ([\w.]+)', line):
      path = found[1].removeprefix('multiscale_inversion.')
      documented |= {path, f'{module}.{path}'.removeprefix('.')}
  expected = {name for name in mi.__all__ if name != '__version__'}
  modules = 'inversion networks nn objectives data data.augmentation training'
  for name in modules.split():
    exported = importlib.import_module(f'multiscale_inversion.{name}').__all__
    expected |= {f'{name}.{one}' for one in exported}
  # Also exported where it is looked for, and described where it is defined.
  elsewhere = {f'networks.{one}' for one in ('BatchNorm', 'Conv', 'convolve')}
  elsewhere |= {f'inversion.{one}' for one in mi.__all__}
  assert expected - elsewhere <= documented, sorted(expected - elsewhere - documented)
