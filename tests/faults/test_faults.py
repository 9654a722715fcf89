"""The campaign's short form; `make test-faults` runs the whole."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIMIT = 900.0  # seconds; far more than a loaded machine needs
SHORT = ('--kills=6', '--damages=12', '--configs=60', '--files=16', '--jobs=1')


@pytest.mark.skipif(not hasattr(os, 'pidfd_open'), reason='needs Linux')
def test_every_fault_held():
  # In a process of its own: the campaign forks where JAX has not started yet.
  done = subprocess.run(
      [sys.executable, '-m', 'tests.faults', *SHORT], cwd=ROOT, timeout=LIMIT, text=True,
      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
  )
  print(done.stdout)
  assert done.returncode == 0, done.stdout[-6000:]
  assert 'kills: 6 tried, 6 held' in done.stdout
