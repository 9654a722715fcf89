"""Random configurations: each is refused in one line, or an experiment can be built of it."""

import itertools
import pathlib
import random
import sys
from collections.abc import Callable
from typing import Any

from tests.faults import problem, processes
from tests.faults.oracle import Broken, require
from tests.faults.problem import Problem
from tests.faults.trials import Trial

_TRACED = 0.1  # the share of the built experiments whose step is traced, which takes a second
_BASES = (
    'folder.py', 'digits_50.py', 'digits_topologies.py:vit', 'digits_topologies.py:lstm',
    'cifar10_4000.py',
)
_TEXTS = (
    '0', '1', '2', '3', '7', '10', '-1', '2147483647', '2147483648', '-2147483649', '9' * 30,
    '9' * 5000, '0x10', '1_000', '٣', '0.5', '0.0', '-0.0', '1e-3', '1e400', '1e-400', 'nan',
    'inf', '-inf', '1e5', '.', 'True', 'False', 'true', 'yes', 'None', 'none', 'null', '', ' ',
    '()', '(1,)', '(1,2)', '1,2', '(0,0)', '(3,1)', '[1]', '{}', '(1,"a")', '(None,)', '(', '"',
    "'x'", 'x', 'a b', 'x=y', '=', '../..', '/', '~', '~nobody', '\udcff', 'é', '\n', '\x00',
    '@x', '%s', '{0}', '__import__("os")', '-', '--', 'device', 'host', 'all', 'rest',
)
_VALUES = (
    None, True, False, 0, 1, 2, 3, 5, -1, 2**31 - 1, 2**31, 10**30, 0.0, -0.0, 0.5, 1.0, 64.0,
    1e-300, 1e308, float('nan'), float('inf'), '', 'x', '3', 'None', '\udcff', '\x00', b'x', (),
    (1,), (1, 2), (0, 0), (2, 1), (1.5,), (None,), ('a',), (-1,), [1], [], [[1]], {}, {'x': 1},
    {1}, range(3), object(), print, int, 1j, Exception(), iter(()),
)


def trials(made: Problem, count: int) -> list[Trial]:
  """Return so many trials, of the command line and of Python in turn."""
  ways = {'command line': _from_command_line, 'Python': _from_python}
  names = itertools.islice(itertools.cycle(ways), count)
  return [
      Trial('sound', lambda rng, place: _build_sound(made, place), 0),
      *(Trial(f'{name}: {index}', _trial(made, ways[name])) for index, name in enumerate(names)),
  ]


def _build_sound(made: Problem, place: pathlib.Path) -> None:
  """Build the configuration that the others change, so that they are not refused in vain."""
  _build(_parse(['main', *problem.SHORT.arguments(made.images)]), place, random.Random(0))


def _trial(made: Problem, way: Callable[[Problem, random.Random], tuple[Any, Any]]):
  def run(rng: random.Random, place: pathlib.Path) -> None:
    from multiscale_inversion.errors import UserError

    processes.limit_memory()
    shown, make = way(made, rng)
    try:
      _build(make(), place, rng)
    except UserError as error:
      message = str(error)
      require(bool(message.strip()), f'{shown}: refused without a word')
      lines = message.splitlines()
      require(len(lines) == 1, f'{shown}: refused in {len(lines)} lines: {message!r}')
    except (Exception, SystemExit) as error:
      text = ' '.join(str(error).split())[:300]
      raise Broken(f'{shown}: {type(error).__name__}: {text} ({_where(error)})') from error

  return run


def _build(config, place: pathlib.Path, rng: random.Random) -> None:
  """Do what a run does with a configuration before it trains."""
  import jax

  from multiscale_inversion.runs import build as setup
  from multiscale_inversion.runs import config as validation
  from multiscale_inversion.runs import recorded
  from multiscale_inversion.runs.folder import RunFolder

  validation.validate(config)
  resolved = validation.resolve(config)
  recorded.as_json(resolved.to_dict())
  RunFolder(str(place / 'run')).check_config(resolved)
  built = setup.build(config)
  jax.eval_shape(built.initial_state)
  if rng.random() < _TRACED:
    jax.eval_shape(built.initial_loop_state)


def _from_command_line(made: Problem, rng: random.Random) -> tuple[str, Callable[[], Any]]:
  """Return random flags after those of a sound run, as shown, and what parses them."""
  flags = [_random_flag(rng) for _ in range(rng.choice((1, 1, 2, 3)))]
  if rng.random() < 0.7:
    argv = ['main', *problem.SHORT.arguments(made.images), *flags]
  else:
    base = problem.ROOT / 'experiments' / rng.choice(_BASES)
    argv = ['main', f'--config={base}', *flags]
  return ' '.join(map(ascii, argv[-len(flags) :])), lambda: _parse(argv)


def _parse(argv: list[str]):
  """Parse a command line as if it were the first of this process."""
  from absl import flags

  from multiscale_inversion.cli import program as cli

  for name in [name for name in flags.FLAGS if name.startswith('config.')]:
    delattr(flags.FLAGS, name)
  flags.FLAGS.unparse_flags()
  sys.argv = argv
  cli.refuse_arguments(cli.parse(argv))
  return cli.CONFIG.value


def _random_flag(rng: random.Random) -> str:
  key = _random_key(rng)
  value = rng.choice((*_TEXTS, *_names()))
  forms = (f'--config.{key}={value}',) * 12 + (
      f'--config.{key}', f'-config.{key}={value}', f'--noconfig.{key}', f'--{key}={value}', value,
      f'--config={value}', f'--config.{key}.x={value}', f'--config.={value}',
      f'--config.{key}=={value}', f'--workdir={value}', f'--flagfile={value}',
  )
  return rng.choice(forms)


def _random_key(rng: random.Random) -> str:
  known = _known_keys()
  if rng.random() < 0.9:
    return rng.choice(known)
  key = rng.choice(known)
  odd = (key.upper(), key[:-1], key + 's', key.split('.', maxsplit=1)[0], f'{key}.{key}', '', 'x')
  return rng.choice(odd)


def _from_python(made: Problem, rng: random.Random) -> tuple[str, Callable[[], Any]]:
  """Return random changes of a sound configuration, as shown, and what makes it."""
  config = _parse(['main', *problem.SHORT.arguments(made.images)]).copy_and_resolve_references()
  shown = []
  with config.unlocked(), config.ignore_type():
    for _ in range(rng.choice((1, 1, 2, 3))):
      key = rng.choice((*_known_keys(), *_known_keys(), 'network', 'data', 'x', 'objective.x'))
      section, _, name = key.rpartition('.')
      value = rng.choice((*_VALUES, *_VALUES, *_names()))
      place = config[section] if section else config
      if not hasattr(place, 'unlocked'):
        continue  # the section itself was changed before
      if rng.random() < 0.1 and name in place:
        del place[name]
        shown.append(f'{key} deleted')
      else:
        place[name] = value
        shown.append(f'{key}={value!a:.80}')
  return ' '.join(shown), lambda: config


def _known_keys() -> list[str]:
  from multiscale_inversion.runs import config as validation
  from multiscale_inversion.runs import defaults

  return sorted(validation.flatten(defaults.get_config()))


def _names() -> list[str]:
  """Return names that some key knows."""
  from multiscale_inversion import data, execution, networks, objectives, precision, recipes
  from multiscale_inversion.data import augmentation, corruption

  lists = (
      data.names(), networks.names(), objectives.names(), precision.NAMES, execution.MODES,
      augmentation.names(), corruption.NAMES, recipes.NAMES,
      ('relu', 'sigmoid', 'max', 'mean', 'batch'),
  )
  return [name for names in lists for name in names]


def _where(error: BaseException) -> str:
  """Return the line of the project's that an exception came through last."""
  where, trace = 'nowhere here', error.__traceback__
  while trace:
    file = pathlib.Path(trace.tb_frame.f_code.co_filename)
    if problem.ROOT in file.parents and 'tests' not in file.parts and '.venv' not in str(file):
      where = f'{file.relative_to(problem.ROOT)}:{trace.tb_lineno}'
    trace = trace.tb_next
  return where
