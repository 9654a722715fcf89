"""Trains one configuration: `python -m experiments.main --config=experiments/svhn_500.py`.

With `--workdir=DIR` in a folder of its own choice (else `runs/` and the configuration's name), and
with any key of the configuration overridden: `--config.seed=1 --config.objective.name=global`.
The same command again resumes. With `--distributed=auto` (Cloud TPU, SLURM) or
`--distributed=HOST:PORT,NUMBER,INDEX` several processes, each started so, train together, once all
are there: within 60 seconds or `--distributed_timeout=SECONDS`.
Exit status: 0 done, 1 diverged, 2 wrong input, 3 the run's folder cannot be written, 130
interrupted: by Ctrl-C, once for an end with a checkpoint, twice for an end at once, or by SIGTERM
or SIGHUP.
"""

import shlex
import sys
from typing import Any

from absl import flags

from multiscale_inversion import parallel
from multiscale_inversion.cli import program as cli
from multiscale_inversion.cli.stopping import StopRequest
from multiscale_inversion.errors import UserError
from multiscale_inversion.runs.loop import Diverged, Interrupted, train_and_evaluate

flags.DEFINE_string('workdir', None, "The run's folder; default: runs/NAME.")
_DISTRIBUTED = flags.DEFINE_string(
    'distributed', None, 'auto, or HOST:PORT,NUMBER,INDEX: train with other processes.'
)
_TIMEOUT = flags.DEFINE_float(
    'distributed_timeout', parallel.TIMEOUT_SECONDS, 'Seconds to wait for them at the start.'
)


def main(argv: list[str]) -> int:
  """Runs the program; returns its exit status."""
  cli.refuse_arguments(argv)
  if _DISTRIBUTED.value is not None:
    parallel.start_processes(_DISTRIBUTED.value, _TIMEOUT.value)
  elif flags.FLAGS['distributed_timeout'].present:
    raise UserError('--distributed_timeout: of no use alone; allowed: beside --distributed')
  workdir = cli.workdir() or cli.default_workdir(sys.argv)
  command = shlex.join(['python', '-m', 'experiments.main', *sys.argv[1:]])
  try:
    summary = train_and_evaluate(cli.CONFIG.value, workdir, StopRequest().requested, command)
  except Interrupted as interruption:
    print(f'{interruption}; the same command goes on from there', file=sys.stderr)
    return cli.INTERRUPTED
  except Diverged as divergence:
    print(f'error: {divergence}', file=sys.stderr)
    return 1
  if not parallel.is_main_process():
    return 0
  print(finished(summary, workdir))
  return 0


def finished(summary: dict[str, Any], workdir: str) -> str:
  """The last line of a run: the test error, of several seeds its mean and standard deviation."""
  seeds = [run['seed'] for run in summary.get('seeds', [summary])]
  several = len(seeds) > 1
  whose = f'seeds {seeds[0]} to {seeds[-1]}: mean' if several else f'seed {seeds[0]}:'
  spread = f' ± {summary["test_error_std"]:.2f}' if several else ''
  return (
      f'finished: {summary["dataset"]}, {summary["num_labeled"]} labels, {summary["objective"]}, '
      f'{whose} test error {summary["test_error"]:.2f}{spread} % after '
      f'{summary["num_epochs"]:.4g} epochs in {summary["wall_time_s"]:.0f} s; see {workdir}'
  )


if __name__ == '__main__':
  cli.run(main)
