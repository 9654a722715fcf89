"""What the programs share: their flags, their help, and errors as one line each."""

import errno
import os
import re
import runpy
import sys
from collections.abc import Callable

from absl import flags, logging
from ml_collections import ConfigDict, config_flags

from multiscale_inversion import text
from multiscale_inversion.cli import overrides, stopping, streams
from multiscale_inversion.errors import StorageError, UserError, suggestion
from multiscale_inversion.runs.config import check_key, flatten

USER_ERROR = 2
STORAGE_ERROR = 3
INTERRUPTED = stopping.INTERRUPTED

# The changes of single values are ours, see `overrides`; this flag looks for none on its own.
CONFIG = config_flags.DEFINE_config_file(
    'config', None, 'A file of experiments/.', sys_argv=['program']
)

_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_CONFIGS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'configs')
_MAKES_CONFIG = re.compile(r'^(def|from \S+ import) get_config\b', re.MULTILINE)
_OWN = ('experiments', 'multiscale_inversion')  # whose modules define a program's flags
# Absl's own: one reads arguments that no record of a run would show, the other hides mistakes.
_REFUSED = re.compile(r'--?(flagfile|undefok)(?![a-z_])')


def parse(argv: list[str], needs_config: bool = True) -> list[str]:
  """Parse the flags.

  Args:
    argv: the program's name and its arguments.
    needs_config: whether --config must be given.

  Returns:
    The remaining arguments, the program's name first.

  Raises:
    UserError: for whatever is wrong in them.
  """
  given = overrides.split(argv)
  if given.data is not None and not needs_config:
    raise UserError('--data: not a flag of this program; allowed: see --help')
  _check_names(given.rest, needs_config)
  if not given.file and (needs_config or given.file == ''):
    or_data = '--data=DIR, or --config with ' if needs_config else ''
    raise UserError(f'--config: missing; allowed: {or_data}{_allowed_configs()}')
  name, *rest = given.rest
  if given.file:
    known = flatten(_load(given.file))
    given = overrides.split(argv)  # The file may have registered options.
    for key, _ in given.changes:
      check_key(key, known)
    rest = [f'--config={":".join(_path_and_word(given.file or ""))}', *rest]
  elif given.changes:
    raise UserError(f'--config.{given.changes[0][0]}: changes no file; allowed: with --config=FILE')
  rest = _parse_flags([name, *rest])
  if given.file:
    overrides.apply(CONFIG.value, given.changes)
  return rest


def _check_names(argv: list[str], with_data: bool) -> None:
  """Check the flags' names, without a look at their values.

  Args:
    argv: the program's name and its arguments, but for those of the configuration.
    with_data: whether the program takes --data, too.

  Raises:
    UserError: for an unknown flag.
  """
  own = _own_flags()
  names = sorted([*own, *['data'] * with_data])
  allowed = ', '.join(f'--{name}' for name in names)
  for argument in argv[1 : argv.index('--') if '--' in argv else None]:
    refused = _REFUSED.match(argument)
    if refused:
      raise UserError(f"Unknown command line flag '{refused[1]}'; allowed: {allowed}")
  try:
    own(argv)
  except flags.UnrecognizedFlagError as error:
    close = suggestion(f'--{error.flagname}', [f'--{name}' for name in names])
    raise UserError(
        f"Unknown command line flag '{error.flagname}'{close}; allowed: {allowed}"
    ) from error
  except (flags.Error, TypeError, ValueError, OSError):
    pass  # A wrong value; `_parse_flags` says which.


def _own_flags() -> flags.FlagValues:
  """Return the flags that this project's modules define, and no library's, as not given."""
  own = flags.FlagValues()
  for name in flags.FLAGS:
    module = flags.FLAGS.find_module_defining_flag(name) or ''
    if module in ('__main__', sys.argv[0]) or module.split('.')[0] in _OWN:
      flags.FLAGS[name].unparse()
      own[name] = flags.FLAGS[name]
  return own


def _parse_flags(argv: list[str]) -> list[str]:
  """Parse the program's flags, whose names are known.

  Returns:
    The remaining arguments.

  Raises:
    UserError: for a wrong value.
  """
  own = _own_flags()
  try:
    rest = own(argv)
  except (flags.Error, TypeError, ValueError, OSError) as error:
    raise UserError(_in_plain_words(str(error), own)) from error
  flags.FLAGS.mark_as_parsed()
  return rest


def _in_plain_words(message: str, known: flags.FlagValues) -> str:
  """Say what is wrong with a flag, and what it takes."""
  missing = re.fullmatch(r'Missing value for flag (--?(\w+))', message)
  if missing:
    return f'{message}; allowed: {missing[1]}={_taken(known[missing[2]])}'
  wrong = re.match(r'(flag --(\w+)=.*?): ', message, re.DOTALL)
  if wrong and wrong[2] in known and wrong[2] != 'config':
    return f'{wrong[1]}; allowed: {_taken(known[wrong[2]])}'
  return ' '.join(message.split())


def _taken(flag: flags.Flag) -> str:
  """Return words for the values that a flag takes."""
  choices = getattr(flag.parser, 'enum_values', None)
  if choices:
    return ', '.join(choices)
  return flag.parser.syntactic_help or ('true or false' if flag.boolean else 'a value')


def _load(named: str) -> ConfigDict:
  """Run a configuration file before absl does, to report what is wrong in it in one line.

  Behind a colon, `FILE.py:WORD`, stands the argument of its `get_config`.
  """
  file, *argument = _path_and_word(named)
  if not os.path.isfile(file):
    there = 'it is no regular file' if os.path.exists(file) else 'it is not there'
    close = suggestion(file, [*_own_configs(), *_of_checkout()])
    raise UserError(
        f'--config: no file {file}: {there} (looked for as {os.path.abspath(file)}){close}; '
        f'allowed: {_allowed_configs()}'
    )
  folder = os.path.dirname(os.path.abspath(file))
  if folder not in sys.path:
    sys.path.append(folder)  # for modules beside it, behind all that are installed
  try:
    config = runpy.run_path(file)['get_config'](*argument)
  except KeyError as error:
    raise UserError(f'--config: {file} has no function get_config ({error} is missing)') from error
  except UserError as error:
    raise UserError(f'--config: {file}: {error}') from error
  except (Exception, SystemExit) as error:
    message = ' '.join(str(error).split())
    raise UserError(f'--config: {file}: {type(error).__name__}: {message}') from error
  if not isinstance(config, ConfigDict):
    raise UserError(
        f'--config: {file}: get_config returns a {type(config).__name__}; allowed: a ConfigDict'
    )
  return config


@stopping.notes_status
def run(main: Callable[[list[str]], int], needs_config: bool = True) -> None:
  """Run a program and exit with its status.

  Args:
    main: takes the arguments left by `parse` and returns the exit status.
    needs_config: whether --config must be given.
  """
  # Libraries log errors with tracebacks; the programs print one line.
  logging.set_verbosity(logging.FATAL)
  with streams.guarded():
    if {'--help', '-h'} & {*sys.argv[1:]}:
      doc = sys.modules[main.__module__].__doc__
      status = _status(lambda: _help(doc, with_keys=needs_config))
    else:
      status = _status(lambda: main(parse(sys.argv, needs_config)))
  sys.exit(status)


def _help(doc: str | None, with_keys: bool) -> int:
  """Print a program's help; the keys that a file given with it registers are among those listed."""
  print(doc)
  if with_keys:
    file = overrides.split(sys.argv).file
    if file:
      _load(file)
    print(overrides.help_text())
  return 0


def _status(run_program: Callable[[], int]) -> int:
  """Run a program and print its errors as one line each; return the exit status."""
  try:
    return run_program()
  except UserError as error:
    print(f'error: {text.message(str(error))}', file=sys.stderr)
    return USER_ERROR
  except StorageError as error:
    advice = 'the same command goes on when it can be written'
    print(f'error: {text.message(str(error))}; {advice}', file=sys.stderr)
    return STORAGE_ERROR
  except OSError as error:
    if error.filename is None and error.errno not in _OF_THE_DISK:
      raise
    where = f'{error.filename}: ' if error.filename is not None else ''
    print(f'error: {text.message(where + str(error.strerror))}', file=sys.stderr)
    return STORAGE_ERROR if error.errno in _OF_THE_DISK else USER_ERROR
  except KeyboardInterrupt:
    print('interrupted', file=sys.stderr)
    return INTERRUPTED


def refuse_arguments(argv: list[str]) -> None:
  """Raise a `UserError` if a program that only takes flags was given something else."""
  if argv[1:]:
    raise UserError(f'unexpected argument {argv[1]!r}; allowed: flags, as --config.seed=1')


def refuse_flags(*names: str) -> None:
  """Raise a `UserError` if a flag was given that an import defines and the program does not use."""
  for name in names:
    if flags.FLAGS[name].present:
      raise UserError(f'--{name}: not a flag of this program; allowed: see --help')


def workdir() -> str | None:
  """Return --workdir, with a `~` at its beginning expanded; None where it was not given.

  Raises:
    UserError: if its path is not UTF-8, which the checkpoints' library cannot write to.
  """
  given = flags.FLAGS.workdir
  return _in_utf8(os.path.expanduser(given)) if given else None


def path_of_network() -> str:
  """Return --workdir of a program that reads a trained network.

  Raises:
    UserError: if it was not given, or as `workdir`.
  """
  given = workdir()
  if not given:
    raise UserError("--workdir: missing; allowed: a run's folder, or a saved network's file")
  return given


def _in_utf8(folder: str) -> str:
  try:
    os.path.abspath(folder).encode('utf-8')
  except UnicodeEncodeError as error:
    raise UserError(
        f'--workdir: {folder}: its whole path is not UTF-8; allowed: one that is'
    ) from error
  return folder


def config_file(argv: list[str]) -> str:
  """Return the path of the configuration file, without the word behind its colon."""
  return _path_and_word(overrides.split(argv).file or '')[0]


def default_workdir(argv: list[str]) -> str:
  """Return `runs/` and the name of the folder of --data, or else of the configuration file.

  The word behind a file's colon is added to its name.
  """
  given = overrides.split(argv)
  file, *argument = _path_and_word(given.file or '')
  name = '_'.join([os.path.splitext(os.path.basename(file))[0], *argument])
  if given.data:
    name = os.path.splitext(os.path.basename(os.path.abspath(given.data)))[0] or name
  return _in_utf8(os.path.join('runs', name.replace(os.sep, '_')))


def _path_and_word(named: str) -> list[str]:
  """Return the path of a configuration file, and the word behind its colon if there is one.

  A name without a folder or an ending is that of one of the library's own configurations, unless
  there is such a file.
  """
  file, *word = named.split(':', 1)
  if file in _own_configs() and not os.path.exists(file):
    file = os.path.join(_CONFIGS, f'{file}.py')
  return [file, *word]


def _own_configs() -> list[str]:
  """Return the names of the library's own configurations."""
  names = (os.path.splitext(name) for name in sorted(os.listdir(_CONFIGS)))
  return [name for name, ending in names if ending == '.py' and name != '__init__']


def _allowed_configs() -> str:
  """Return the library's own configurations and, in a checkout, the files of `experiments/`."""
  own, files = ', '.join(_own_configs()), ', '.join(_of_checkout())
  return f'{own}; or {files}' if files else f'{own}, or a file of yours'


def _of_checkout() -> list[str]:
  """Return the configuration files of `experiments/`; none unless called in the checkout."""
  folder = os.path.join(_ROOT, 'experiments')
  if not os.path.isdir(folder) or not os.path.samefile('.', _ROOT):
    return []
  names = []
  for name in sorted(os.listdir(folder)):
    path = os.path.join(folder, name)
    if name.endswith('.py') and name != 'defaults.py':
      with open(path, encoding='utf-8') as file:
        if _MAKES_CONFIG.search(file.read()):
          names.append(f'experiments/{name}')
  return names
