"""Download a data set and prepare it for training: `python -m experiments.prepare cifar10`.

The program is `multiscale_inversion.cli.prepare`, whose flags `--help` lists.
"""

from multiscale_inversion.cli import program
from multiscale_inversion.cli.prepare import main

if __name__ == '__main__':
  program.run(main, needs_config=False)
