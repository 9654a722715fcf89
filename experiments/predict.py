"""Classify images with a trained network: `python -m experiments.predict --workdir=DIR IMAGE...`.

The program is `multiscale_inversion.cli.predict`, whose flags `--help` lists.
"""

from multiscale_inversion.cli import program
from multiscale_inversion.cli.predict import main

if __name__ == '__main__':
  program.run(main, needs_config=False)
