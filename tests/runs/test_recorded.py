"""A run records its configuration; one with a loss of its own resumes only with the same file."""

import functools
import hashlib
import json
import pathlib
import runpy
import shutil

import pytest

from multiscale_inversion import objectives
from multiscale_inversion.errors import UserError
from multiscale_inversion.runs import loop as run
from multiscale_inversion.runs import recorded
from multiscale_inversion.runs.folder import RunFolder
from tests import tiny

pytestmark = pytest.mark.usefixtures('one_block')

SOURCE = '''def loss(inversion, labels, mask):
  return 1.0 * mask


def make(scale):
  def inner(inversion, labels, mask):
    return scale * mask

  return inner
'''


def first(inversion, labels, mask, scale=1.0):
  return scale * mask


def sha256(content):
  return hashlib.sha256(content).hexdigest()


def test_names_and_the_digest_of_the_file():
  here = sha256(pathlib.Path(__file__).read_bytes())
  for value, name in (
    (functools.partial(first, scale=2.0), 'first'),
    (objectives.labeled(first), 'first'),
    (objectives.add(objectives.labeled(first), (0.5, first)), 'sum of first, first'),
    (lambda i, l, m: m, 'test_names_and_the_digest_of_the_file'),
  ):
    assert recorded.describe(value) == f'{name} (sha256 {here})'
  assert recorded.describe(first, b'abc') == f'first (sha256 {sha256(b"abc")})'
  assert recorded.describe(functools.partial(print)) == 'print (no file)'
  assert recorded.describe(objectives.create) == 'create (no file)'  # its version says what it is
  both = objectives.add(objectives.create('entropy'), first)
  assert recorded.describe(both).endswith(f', first (sha256 {here})')


def test_json():
  content = {'a': (1, 2), 'b': {'c': None}}
  assert recorded.as_json(content) == {'a': [1, 2], 'b': {'c': None}}
  with pytest.raises(TypeError, match='cannot be written'):
    recorded.as_json({'a': object()})


@pytest.fixture
def custom(tmp_path):
  """A configuration file with a loss, and what makes the configuration from it."""
  path = tmp_path / 'mine.py'
  path.write_text(SOURCE)

  def make(name='loss', **changes):
    config = tiny.config(num_steps=4, **changes)
    config.objective.name = 'function'
    config.objective.function = runpy.run_path(str(path))[name]
    return config

  return path, make


def begin(make, path, folder):
  with pytest.raises(run.Interrupted):
    run.train_and_evaluate(make(), folder, lambda step: step >= 1, config_file=path)


@pytest.mark.parametrize('given', [True, False], ids=['config file', 'function file'])
def test_resumes_with_the_same_file_only(custom, given, tmp_path):
  path, make = custom
  file, folder = str(path) if given else None, str(tmp_path / 'run')
  begin(make, file, folder)
  copy = tmp_path / 'run' / 'config.py'
  assert copy.read_text() == SOURCE
  config = json.loads((tmp_path / 'run' / 'config.json').read_text())
  assert config['objective']['function'] == f'loss (sha256 {sha256(SOURCE.encode())})'
  path.write_text(SOURCE.replace('1.0', '2.0'))
  said = r'another configuration: objective\.function was .loss \(sha256 \w+\)., now .loss \('
  with pytest.raises(UserError, match=said):
    run.train_and_evaluate(make(), folder, config_file=file)
  path.write_text(SOURCE)
  assert run.train_and_evaluate(make(), folder, config_file=file).objective == 'function'
  assert copy.read_text() == SOURCE


def test_a_run_without_a_loss_of_its_own_copies_nothing(tmp_path, custom):
  path, _ = custom
  run.train_and_evaluate(tiny.config(num_steps=1), str(tmp_path / 'run'), config_file=str(path))
  assert not (tmp_path / 'run' / 'config.py').exists()


def test_a_missing_file_is_named(custom, tmp_path):
  _, make = custom
  with pytest.raises(UserError, match=r'absent\.py: no such file'):
    run.train_and_evaluate(make(), str(tmp_path / 'run'), config_file=str(tmp_path / 'absent.py'))
  assert not (tmp_path / 'run').exists()


def test_runs_of_earlier_versions(custom, tmp_path):
  """They recorded a digest of the source: the same name resumes with a warning, another not."""
  path, make = custom
  folder = tmp_path / 'run'
  begin(make, str(path), str(folder))
  config, resolved = json.loads((folder / 'config.json').read_text()), run.resolve(make())
  config['objective']['function'] = 'loss (source 0123abcd)'
  with pytest.warns(UserWarning, match='an earlier version recorded the loss .* only its name'):
    recorded.check_same(config, resolved, None, str(folder))
  config['objective']['function'] = 'make (source 0123abcd)'
  with pytest.raises(UserError, match=r"was 'make \(source 0123abcd\)', now 'loss \(sha256"):
    recorded.check_same(config, resolved, None, str(folder))


def test_the_lock_is_left_by_a_process_that_ends(tmp_path, custom):
  """A lock file that nobody holds, such as one of a killed process, keeps nobody out."""
  folder = tmp_path / 'run'
  folder.mkdir()
  (folder / '.lock').write_text('')
  with (
    RunFolder(str(folder)).claim({}, {}),
    pytest.raises(UserError, match='another run is under way in it'),
    RunFolder(str(folder)).claim({}, {}),
  ):
    pass
  with RunFolder(str(folder)).claim({}, {}):
    pass
  shutil.rmtree(folder)
