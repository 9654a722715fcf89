"""Semi-supervised learning by inverting a deep network at every layer.

    multiscale-inversion COMMAND [FLAGS]

    train     train a network on a configuration or on a folder of images
    predict   classify images with a trained network
    evaluate  measure a trained network on images with labels
    export    write a trained network as a program that needs JAX alone
    report    compare finished runs in a table
    prepare   download a data set

`multiscale-inversion COMMAND --help` says more; `--version` prints the version.
"""

import importlib
import sys

NAME = 'multiscale-inversion'
_COMMANDS = ('train', 'predict', 'evaluate', 'export', 'report', 'prepare')
_WITH_CONFIG = ('train',)
_USER_ERROR = 2


def main() -> None:
  """Run the command that the first argument names, and exit with its status."""
  from multiscale_inversion.cli import environment, stopping  # noqa: PLC0415 (before JAX)

  stopping.begin()
  environment.begin()
  command, *rest = sys.argv[1:] or ['--help']
  if command in ('--help', '-h', 'help'):
    print(__doc__)
    sys.exit(0)
  if command == '--version':
    from multiscale_inversion.version import __version__  # noqa: PLC0415

    print(f'multiscale_inversion {__version__}')
    sys.exit(0)
  if command not in _COMMANDS:
    close = _nearest(command)
    print(
        f'error: unknown command {command!r}{close}; allowed: {", ".join(_COMMANDS)}, --version, '
        '--help',
        file=sys.stderr,
    )
    sys.exit(_USER_ERROR)
  program = importlib.import_module('multiscale_inversion.cli.program')
  module = importlib.import_module(f'multiscale_inversion.cli.{command}')
  sys.argv = [f'{NAME} {command}', *rest]
  program.run(module.main, needs_config=command in _WITH_CONFIG)


def _nearest(command: str) -> str:
  from multiscale_inversion.errors import suggestion  # noqa: PLC0415

  return suggestion(command, _COMMANDS)
