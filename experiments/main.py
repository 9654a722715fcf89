"""Train one configuration: `python -m experiments.main --config=experiments/svhn_500.py`.

`--workdir=DIR` names the run's folder (default: `runs/` and the configuration's name). Any key of
the configuration can be changed: `--config.seed=1 --config.objective.name=global`. The same command
again resumes.

With `--distributed=auto` (Cloud TPU, SLURM) or `--distributed=HOST:PORT,NUMBER,INDEX`, several
processes train together. Each is started with the flag, and all must be there within 60 seconds or
`--distributed_timeout=SECONDS`.

The first Ctrl-C, SIGTERM or SIGHUP ends the run with a checkpoint, the second Ctrl-C at once.
Exit status: 0 done, 1 diverged, 2 wrong input, 3 the run's folder cannot be written, 130
interrupted.
"""

import shlex
import sys

from absl import flags

from multiscale_inversion import parallel
from multiscale_inversion.cli import program as cli
from multiscale_inversion.cli.stopping import StopRequest
from multiscale_inversion.errors import UserError
from multiscale_inversion.runs.finished import FinishedRun
from multiscale_inversion.runs.loop import Diverged, Interrupted, train_and_evaluate

flags.DEFINE_string('workdir', None, "The run's folder; default: runs/NAME.")
_DISTRIBUTED = flags.DEFINE_string(
    'distributed', None, 'auto, or HOST:PORT,NUMBER,INDEX: train with other processes.'
)
_TIMEOUT = flags.DEFINE_float(
    'distributed_timeout', parallel.TIMEOUT_SECONDS, 'Seconds to wait for them at the start.'
)


def main(argv: list[str]) -> int:
  """Run the program; return its exit status."""
  cli.refuse_arguments(argv)
  if _DISTRIBUTED.value is not None:
    parallel.start_processes(_DISTRIBUTED.value, _TIMEOUT.value)
  elif flags.FLAGS['distributed_timeout'].present:
    raise UserError('--distributed_timeout: of no use alone; allowed: beside --distributed')
  workdir = cli.workdir() or cli.default_workdir(sys.argv)
  command = shlex.join(['python', '-m', 'experiments.main', *sys.argv[1:]])
  try:
    finished = train_and_evaluate(
        cli.CONFIG.value, workdir, StopRequest().requested, command, cli.config_file(sys.argv)
    )
  except Interrupted as interruption:
    print(f'{interruption}; the same command goes on from there', file=sys.stderr)
    return cli.INTERRUPTED
  except Diverged as divergence:
    print(f'error: {divergence}', file=sys.stderr)
    return 1
  if not parallel.is_main_process():
    return 0
  print(last_line(finished, workdir))
  return 0


def last_line(run: FinishedRun, workdir: str) -> str:
  """Return the last line of a run: its test error; of several seeds, mean and deviation."""
  first, last = (run.seeds[0].seed, run.seeds[-1].seed) if run.seeds else (run.seed, run.seed)
  whose = f'seed {first}:' if first == last else f'seeds {first} to {last}: mean'
  spread = '' if run.test_error_std is None else f' ± {run.test_error_std:.2f}'
  return (
      f'finished: {run.dataset}, {run.num_labeled} labels, {run.objective}, {whose} test error '
      f'{run.test_error:.2f}{spread} % after {run.num_epochs:.4g} epochs in '
      f'{run.wall_time_s:.0f} s; see {workdir}'
  )


if __name__ == '__main__':
  cli.run(main)
