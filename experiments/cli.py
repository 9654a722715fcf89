"""What the programs share: their flags, and errors as one line each."""

import os
import re
import sys
from collections.abc import Callable

from absl import flags, logging
from ml_collections import config_flags

from experiments.validation import unknown_key
from multiscale_inversion.errors import UserError

USER_ERROR = 2

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
  if file is not None and not os.path.isfile(file):
    raise UserError(f'--config: no file {file}; allowed: {", ".join(_config_files())}')
  try:
    rest = flags.FLAGS(argv)
  except (AttributeError, KeyError) as error:
    keys = [k for k in (_key(argument) for argument in argv[1:]) if k]
    name = str(error).strip('"\'')
    key = next((k for k in keys if k.split('.')[-1] == name or k == name), name)
    raise UserError(unknown_key(key)) from error
  except (flags.Error, TypeError, ValueError, OSError) as error:
    message = ' '.join(str(error).split()).removeprefix('flag --config.')
    raise UserError(message) from error
  if needs_config and CONFIG.value is None:
    raise UserError(f'--config: missing; allowed: {", ".join(_config_files())}')
  return rest


def run(main: Callable[[list[str]], int], needs_config: bool = True) -> None:
  """Runs a program: `main` takes the arguments left by `parse` and returns the exit status."""
  logging.set_verbosity(logging.ERROR)  # Libraries' notes belong to no one here.
  try:
    sys.exit(main(parse(sys.argv, needs_config)))
  except UserError as error:
    print(f'error: {error}', file=sys.stderr)
    sys.exit(USER_ERROR)


def default_workdir(argv: list[str]) -> str:
  """`runs/` and the name of the configuration file."""
  return os.path.join('runs', os.path.splitext(os.path.basename(_config_file(argv)))[0])


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
