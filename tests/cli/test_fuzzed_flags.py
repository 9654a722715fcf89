"""Wrong values of every key and flag: each ends in a `UserError` of one line, or is taken."""

import random

import pytest
from absl import flags

from experiments import main, predict, report, sweep  # noqa: F401 (their flags)
from multiscale_inversion import data
from multiscale_inversion.cli import program as cli
from multiscale_inversion.errors import UserError
from multiscale_inversion.runs import build as setup_lib
from multiscale_inversion.runs import defaults
from multiscale_inversion.runs.config import flatten, resolve, validate

DIGITS = '--config=experiments/digits_50.py'
KEYS = sorted(flatten(defaults.get_config()))
SECTIONS = sorted({key.rpartition('.')[0] for key in KEYS if '.' in key})
VALUES = (
  '', ' ', 'None', 'none', 'True', 'yes', 'resnet', '0', '1', '-1', '2', '64.0', '1e3', '0.5',
  '1.5', '-0.0', 'nan', 'NaN', 'inf', '-inf', '1e400', '9' * 30, '9' * 5000, '2147483647',
  '2147483648', '0x10', '1_000', '٣', 'é', '\udcff', 'a\nb', '$', "'", '(', '()', '(1,', '[1, 2]',
  '(1, 2)',
  '(0, 0)', '(nan,)', "('a', 'b')", '[[1], [2]]', '{}', '{1: 2}', '(1.5,)', '(-1,)', '(None,)',
  '(True,)', '[' * 200, '(' * 5000, '9**99', '__import__("os")', '..', '/', '~', '=', '=1',
  'x' * 9999,
)  # fmt: skip


@pytest.fixture(autouse=True)
def _in_the_project(monkeypatch):
  monkeypatch.chdir(cli._ROOT)


@pytest.fixture(scope='module', autouse=True)
def digits():
  """Read once; a value that names other data is refused, or would be read."""
  found = data.load('digits')
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(data, 'load', lambda name, data_dir, **options: found)
    yield


def outcome(*arguments, build=False):
  """The message of the `UserError` that a command line ends in, or None."""
  try:
    cli.parse(['program', *arguments], needs_config=True)
    validate(cli.CONFIG.value)
    resolve(cli.CONFIG.value)
    if build:
      setup_lib.build(cli.CONFIG.value)
  except UserError as error:
    return str(error)
  return None


@pytest.mark.parametrize('key', KEYS)
def test_every_key(key):
  taken = 0
  for value in VALUES:
    said = outcome(DIGITS, f'--config.{key}={value}')
    assert said is None or key.rpartition('.')[2] in said, (value, said)
    taken += said is None
  assert taken < len(VALUES) or key in ('data.note', 'data.data_dir', 'init_from')


def test_values_that_are_taken_build_or_are_refused():
  """Of different networks and objectives, so that each option has a taker."""
  chosen = random.Random(0)
  networks = [f'topologies:{name}' for name in ('mlp', 'cnn_1d', 'lstm', 'gru', 'vit')]
  files = ('50', *networks, 'methods:fixmatch', 'methods:mean_teacher')
  built = 0
  for _ in range(400):
    file, _, word = chosen.choice(files).partition(':')
    key, value = chosen.choice(KEYS), chosen.choice(VALUES)
    config = f'--config=experiments/digits_{file}.py{":" * bool(word)}{word}'
    built += outcome(config, f'--config.{key}={value}', build=True) is None
  assert 20 < built < 380


# Every flag that a library defines, whatever its value; and every shape of an argument.


def of_libraries():
  found = []
  for name in flags.FLAGS:
    module = flags.FLAGS.find_module_defining_flag(name)
    if not module.startswith(('experiments', 'multiscale_inversion')):
      found.append(name)
  return found


def test_flags_of_libraries_are_no_flags_of_the_programs():
  names = [*of_libraries(), 'flagfile', 'undefok', 'helpfull', 'helpshort', 'helpxml', 'version']
  assert {'v', 'pdb', 'only_check_args', 'alsologtostderr'} < {*names}
  for name in names:
    for shape in ('--{}', '-{}', '--{}=1', '--{}=', '--{}=x', '--no{}'):
      said = outcome(DIGITS, shape.format(name))
      assert said.startswith('Unknown command line flag') and '--workdir' in said


@pytest.mark.parametrize(('arguments', 'start'), [
  (['--config.network=resnet'], 'network: a section, not a value; allowed: network.activation, '),
  (['--config.data='], 'data: a section, not a value; allowed: data.channels, '),
  (['--config.network.width=64.0'], 'network.width=64.0: allowed: an integer'),
  (['--config.rematerialize=yes'], 'rematerialize=yes: allowed: a boolean, true or false'),
  (['--noconfig.rematerialize=1'], '--noconfig.rematerialize=1: allowed: --noconfig.rematerialize'),
  (['--noconfig.seed'], 'seed=false: allowed: an integer'),
  (['--config.objective.function=print'], 'objective.function: print; allowed: None here; set it'),
  (['--config.network.width.height=1'], 'network.width.height: unknown key; allowed under network'),
  (['--config.=1'], ': unknown key; allowed: augmentation'),
  (['--config..seed=1'], '.seed: unknown key'),
  (['--config.seed[0]=1'], 'seed[0]: unknown key'),
  (['--config.num_seeds=2147483647'], 'num_seeds: 2147483647 is out of range; allowed: [1, 1000]'),
  ([DIGITS], '--config: given 2 times (experiments/digits_50.py, experiments/digits_50.py)'),
  (['--top=many'], 'flag --top=many; allowed: a positive integer'),
  (['--top=0'], 'flag --top=0; allowed: a positive integer'),
  (['--seed=1.5'], 'flag --seed=1.5; allowed: an integer'),
  (['--list=perhaps'], 'flag --list=perhaps; allowed: true or false'),
  (['--select_learning_rate=0'], 'flag --select_learning_rate=0; allowed: an integer in the range'),
  (['--settings="a'], 'flag --settings="a; allowed: a comma separated list'),
  (['--workdir'], 'Missing value for flag --workdir; allowed: --workdir=a value'),
])  # fmt: skip
def test_messages(arguments, start):
  said = outcome(DIGITS, *arguments)
  assert said is not None and said.startswith(start)


@pytest.mark.parametrize('section', SECTIONS)
def test_a_section_takes_no_value(section):
  for value in VALUES:
    assert outcome(DIGITS, f'--config.{section}={value}').startswith(f'{section}: a section')


def test_what_is_taken():
  assert outcome(DIGITS, '--config.seed=1', '--config.seed', '3', '--config.rematerialize') is None
  assert cli.CONFIG.value.seed == 3 and cli.CONFIG.value.rematerialize is True
  assert outcome(DIGITS, '--noconfig.rematerialize', '--config.learning_rate=1') is None
  assert cli.CONFIG.value.rematerialize is False and cli.CONFIG.value.learning_rate == 1.0
  assert outcome('-config', 'experiments/digits_50.py', '--config.decay_epochs=[3, 5]') is None
  assert cli.CONFIG.value.decay_epochs == (3, 5)
  assert outcome(DIGITS, '--config.objective.layers=(2,)', '--config.network.depth=None') is None
  assert cli.CONFIG.value.objective.layers == (2,) and cli.CONFIG.value.network.depth is None
  # A flag of an earlier command line is not one of the next.
  assert outcome(DIGITS, '--top=5') is None and flags.FLAGS.top == 5
  assert outcome(DIGITS) is None and flags.FLAGS.top == 3 and not flags.FLAGS['top'].present


def test_arguments_at_random():
  """Of pieces of flags, in any order: a `UserError`, or success."""
  chosen = random.Random(0)
  pieces = (
    '--', '-', '--config', '-config', DIGITS, '--config.seed', '=', '--config.', '--noconfig.seed',
    '--config=', '--config=/', '--config=/dev/null', '--config=experiments/digits_50.py:word',
    '--config=experiments/digits_methods.py', '--config=experiments/digits_methods.py:x',
    '--config.network.width', '3', '--workdir', '--workdir=', '--set', '--set=a', '--seeds',
    '--top', '---', '--=', '--no', '--nolist', '--nolist=1', '--list', 'image.png', '\udcff', '',
  )  # fmt: skip
  for _ in range(1500):
    outcome(*(chosen.choice(pieces) for _ in range(chosen.randint(0, 5))))


# Changes of a sweep, and its numbers.


@pytest.mark.parametrize('key', KEYS)
def test_every_key_of_a_sweep(key):
  for value in VALUES:
    try:
      changes = sweep.parse_changes([f'{key}={value}'])
      sweep.make_jobs(['digits_50/multiscale'], [0], changes, 'there', vectorized=False)
    except UserError:
      continue


@pytest.mark.parametrize('text', [
  '0-99999999', '0-1000', '0-998,1000,1001', '99999999999', '2147483648', '0-' + '9' * 5000, '٣',
  '5-4', '0,,1', '', '-', '0-', '-1', '1e3', 'a', '\udcff', '0 - 3',
])  # fmt: skip
def test_seeds_out_of_range(text):
  with pytest.raises(UserError, match=r'--seeds: .*; allowed: as 0-3 or 0,2,5: at most 1000, each'):
    sweep.parse_seeds(text)


def test_as_many_seeds_as_are_allowed():
  assert sweep.parse_seeds('1-1000') == list(range(1, 1001))
  assert sweep.parse_seeds('3,1-4,2147483647,1') == [3, 1, 2, 4, 2147483647]


# Configuration files.


def file_of(tmp_path, text):
  path = tmp_path / 'mine.py'
  path.write_bytes(text if isinstance(text, bytes) else text.encode())
  return f'--config={path}'


@pytest.mark.parametrize(('text', 'part'), [
  (b'\x00\xff\xfe', ''), (b'', 'no function get_config'), ('def get_config(', 'SyntaxError'),
  ('raise SystemExit(0)', 'SystemExit'), ('def get_config():\n  return None', 'returns a NoneType'),
  ('def get_config():\n  return {}', 'returns a dict'), ('get_config = 3', 'TypeError'),
  ('def get_config(word):\n  return word', 'TypeError'), ('import nothing_of_it', 'nothing_of_it'),
  ('from ml_collections import ConfigDict as get_config', 'missing from the configuration'),
])  # fmt: skip
def test_a_file_that_is_no_configuration(text, part, tmp_path):
  said = outcome(file_of(tmp_path, text))
  assert part in said and '\n' not in said


@pytest.mark.parametrize('key', KEYS)
def test_wrong_types_in_a_file(key, tmp_path):
  """A file may set whatever it likes, also by another type."""
  section, _, name = key.rpartition('.')
  for value in ("'x'", '[]', '()', '{}', '1.5', 'True', 'None', 'print', 'b"x"', '[None]', '9**40'):
    lines = (
      'from experiments import digits_50',
      'def get_config():',
      '  config = digits_50.get_config()',
      f'  section = config.{section}' if section else '  section = config',
      '  with config.unlocked(), config.ignore_type():',
      f'    section.{name} = {value}',
      '  return config',
    )
    said = outcome(file_of(tmp_path, '\n'.join(lines)))
    assert said is None or '\n' not in said


def test_a_file_that_is_elsewhere(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  said = outcome('--config=experiments/nope.py')
  assert f'looked for as {tmp_path}/experiments/nope.py' in said
  assert said.endswith('; allowed: digits_50, folder, mnist_50_few_labels, or a file of yours')
