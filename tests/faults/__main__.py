"""Starts the campaign, see `campaign`: `python -m tests.faults`."""

import importlib
import os
import shutil
import sys
import tempfile
import threading
import warnings

# All that the programs import, at once or when first used, and no more: the forks share it.
_IMPORTED = (
    'experiments.main',
    'experiments.sweep',
    'experiments.predict',
    'experiments.mistakes',
    'experiments.report',
    'orbax.checkpoint',
    'scipy.io',
    'sklearn.datasets',
    'tensorflow_datasets',
)


def main() -> int:
  """Run the campaign where everything is imported and nothing has started; return the status."""
  compiled = tempfile.mkdtemp(prefix='faults_compiled_')
  os.environ |= {
      'OMP_NUM_THREADS': '1',
      'OPENBLAS_NUM_THREADS': '1',
      'JAX_DISABLE_MOST_OPTIMIZATIONS': 'true',
      'JAX_COMPILATION_CACHE_DIR': compiled,
      'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
      'JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES': '-1',
  }
  importlib.import_module('tests.conftest')  # sets the rest of JAX's environment, and imports it
  for name in _IMPORTED:
    importlib.import_module(name)
  warnings.filterwarnings('ignore', message=r'os\.fork\(\) was called')  # of JAX, about threads
  if threading.active_count() > 1:
    sys.exit(f'threads before the forks: {threading.enumerate()}')
  from tests.faults import campaign

  try:
    return campaign.main()
  finally:
    shutil.rmtree(compiled, ignore_errors=True)


if __name__ == '__main__':
  sys.exit(main())
