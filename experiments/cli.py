"""What the programs share: their flags, and errors as one line each."""

import os
import re
import runpy
import sys
import warnings
from collections.abc import Callable
from typing import Any

from absl import flags, logging
from ml_collections import ConfigDict, config_flags

from experiments import defaults
from experiments.validation import flatten, unknown_key
from multiscale_inversion.errors import StorageError, UserError

USER_ERROR = 2
STORAGE_ERROR = 3
INTERRUPTED = 130

CONFIG = config_flags.DEFINE_config_file('config', None, 'A file of experiments/.')


def parse(argv: list[str], needs_config: bool = True) -> list[str]:
  """Parses the flags.

  Args:
    argv: the program's name and its arguments.
    needs_config: whether --config must be given.

  Returns:
    What is left of the arguments, the program's name first.

  Raises:
    UserError: for whatever is wrong in them.
  """
  file = _config_file(argv)
  if not file and (needs_config or file == ''):
    raise UserError(f'--config: missing; allowed: {", ".join(_config_files())}')
  if file:
    _check_overrides(argv, flatten(_load(file)))
  none = [argument for argument in argv if argument.endswith('=None') and _key(argument)]
  try:
    rest = flags.FLAGS([argument for argument in argv if argument not in none])
  except (flags.Error, TypeError, ValueError, OSError) as error:
    message = ' '.join(str(error).split()).removeprefix('flag --config.')
    raise UserError(message) from error
  for argument in none:
    _set_none(CONFIG.value, _key(argument))
  return rest


def _load(named: str) -> ConfigDict:
  """Runs a configuration file once before the flags do, so that what is wrong in it is said.

  Behind a colon, `FILE.py:WORD`, stands what its `get_config` takes.
  """
  file, *argument = named.split(':', 1)
  if not os.path.isfile(file):
    raise UserError(f'--config: no file {file}; allowed: {", ".join(_config_files())}')
  try:
    return runpy.run_path(file)['get_config'](*argument)
  except KeyError as error:
    raise UserError(f'--config: {file} has no function get_config ({error} is missing)') from error
  except UserError as error:
    raise UserError(f'--config: {file}: {error}') from error
  except Exception as error:
    message = ' '.join(str(error).split())
    raise UserError(f'--config: {file}: {type(error).__name__}: {message}') from error


def _check_overrides(argv: list[str], known: dict[str, Any]) -> None:
  sections = {key.rpartition('.')[0] for key in known}
  for key in filter(None, map(_key, argv[1:])):
    if key not in known and key not in sections:
      raise UserError(unknown_key(key))


def _set_none(config: ConfigDict, key: str) -> None:
  """Sets a key to None where the defaults say that it may be."""
  if flatten(defaults.get_config())[key] is not None:
    raise UserError(f'{key}: None; allowed: a value, as by default')
  section, _, name = key.rpartition('.')
  (config[section] if section else config)[name] = None


def run(main: Callable[[list[str]], int], needs_config: bool = True) -> None:
  """Runs a program: `main` takes the arguments left by `parse` and returns the exit status."""
  # What libraries say of an error, tracebacks among it, the error says here in one line.
  logging.set_verbosity(logging.FATAL)
  warnings.showwarning = _show_warning
  sys.unraisablehook = _ignore_closed_loops
  if {'--help', '-h'} & {*sys.argv[1:]}:
    print(sys.modules[main.__module__].__doc__)
    sys.exit(0)
  try:
    sys.exit(main(parse(sys.argv, needs_config)))
  except UserError as error:
    print(f'error: {error}', file=sys.stderr)
    sys.exit(USER_ERROR)
  except StorageError as error:
    print(f'error: {error}; the same command goes on when it can be written', file=sys.stderr)
    sys.exit(STORAGE_ERROR)
  except KeyboardInterrupt:
    print('interrupted', file=sys.stderr)
    sys.exit(INTERRUPTED)


def _show_warning(message, *unused) -> None:
  """Show a warning as a line, without the place in the code."""
  print(f'warning: {" ".join(str(message).split())}', file=sys.stderr)


def _ignore_closed_loops(unraisable) -> None:
  """Pass over what ends too late: reading a damaged checkpoint, Orbax leaves other reads behind."""
  if 'Event loop is closed' not in str(unraisable.exc_value):
    sys.__unraisablehook__(unraisable)


def refuse_arguments(argv: list[str]) -> None:
  """Raises a `UserError` if a program that takes flags only was given something else."""
  if argv[1:]:
    raise UserError(f'unexpected argument {argv[1]!r}; allowed: flags, as --config.seed=1')


def refuse_flags(*names: str) -> None:
  """Raises a `UserError` if a flag was given that comes with an import and has no part here."""
  for name in names:
    if flags.FLAGS[name].present:
      raise UserError(f'--{name}: not a flag of this program; allowed: see --help')


def workdir() -> str | None:
  """--workdir, a `~` at its beginning expanded; None where it was not given."""
  given = flags.FLAGS.workdir
  return os.path.expanduser(given) if given else None


def default_workdir(argv: list[str]) -> str:
  """`runs/` and the name of the configuration file, with what stands behind its colon."""
  file, *argument = _config_file(argv).split(':', 1)
  return os.path.join('runs', '_'.join([os.path.splitext(os.path.basename(file))[0], *argument]))


def _config_file(argv: list[str]) -> str | None:
  for index, argument in enumerate(argv):
    match = re.fullmatch(r'--?config(=(.*))?', argument)
    if match:
      return match[2] if match[1] else next(iter(argv[index + 1 : index + 2]), None)
  return None


def _key(argument: str) -> str | None:
  match = re.match(r'--?(?:no)?config\.([^=]+)', argument)
  return match[1] if match else None


def _config_files() -> list[str]:
  folder = os.path.dirname(os.path.abspath(__file__))
  names = []
  for name in sorted(os.listdir(folder)):
    path = os.path.join(folder, name)
    if name.endswith('.py') and name != 'defaults.py':
      with open(path, encoding='utf-8') as file:
        if re.search(r'^def get_config\(', file.read(), re.MULTILINE):
          names.append(f'experiments/{name}')
  return names
