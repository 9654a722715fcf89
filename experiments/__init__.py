"""The paper's experiments: `python -m experiments.main --config=experiments/svhn_500.py`."""

import sys

if sys.argv[:1] == ['-m']:  # what Python writes there while it looks for the program to run
  from multiscale_inversion.cli import environment, stopping

  stopping.begin()
  environment.begin()
