"""Train one configuration: `python -m experiments.main --config=experiments/svhn_500.py`.

The program is `multiscale_inversion.cli.train`, whose flags `--help` lists.
"""

from multiscale_inversion.cli import program
from multiscale_inversion.cli.train import main

if __name__ == '__main__':
  program.run(main)
