"""Train a network: `multiscale-inversion train --data=DIR`, or `--config=FILE`.

In a checkout, `python -m experiments.main --config=experiments/svhn_500.py` is the same program.

`--data=DIR` trains on one's own images, in DIR/CLASS/ and DIR/unlabeled/, or on those that a CSV
file names. `--config` is a file of one's own, or one of the library's by its name, as digits_50.
`--workdir=DIR` names the run's folder (default: `runs/` and the name of the data or of the
configuration). Any key of the configuration can be changed: `--config.seed=1
--config.objective.name=global`. The same command again resumes.

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
from multiscale_inversion.cli import compilation_cache
from multiscale_inversion.cli import program as cli
from multiscale_inversion.cli.main import NAME
from multiscale_inversion.cli.stopping import StopRequest
from multiscale_inversion.errors import UserError
from multiscale_inversion.networks.registry import is_own
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
  compilation_cache.enable()
  workdir = cli.workdir() or cli.default_workdir(sys.argv)
  command = shlex.join([*_program_of("train"), *sys.argv[1:]])
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
  print(f'next: {_next_command(finished, workdir)}', file=sys.stderr)
  print(last_line(finished, workdir))
  return 0


def _next_command(run: FinishedRun, workdir: str) -> str:
  """Return the command that uses the network: on image files, or on the data set's test images."""
  flags_of_network = [f'--workdir={shlex.quote(workdir)}']
  if not is_own(run.network):
    flags_of_network.append(f'--config={shlex.quote(cli.config_file(sys.argv))}')
  if run.dataset == 'folder':
    return ' '.join([*_program_of('predict'), *flags_of_network, 'IMAGE...'])
  command = 'report' if run.test_error is None else 'evaluate'
  return ' '.join([NAME, command, *flags_of_network])


def _program_of(command: str) -> list[str]:
  """Return the words that call a command, in the way in which this program was called."""
  if sys.argv[0].split()[:1] == [NAME]:
    return [NAME, command]
  return ['python', '-m', f'experiments.{"main" if command == "train" else command}']


def last_line(run: FinishedRun, workdir: str) -> str:
  """Return the last line of a run: its test error; of several seeds, mean and deviation."""
  first, last = (run.seeds[0].seed, run.seeds[-1].seed) if run.seeds else (run.seed, run.seed)
  whose = f'seed {first}:' if first == last else f'seeds {first} to {last}: mean'
  spread = '' if run.test_error_std is None else f' ± {run.test_error_std:.2f}'
  error = 'without test images'
  if run.test_error is not None:
    error = f'test error {run.test_error:.2f}{spread} %'
  kept = ''
  if run.best is not None and run.configuration.keep_best:
    of_test = run.best['test_error']
    kept_error = '' if of_test is None else f', test error {of_test:.2f} %'
    kept = (
        f'; kept: step {run.best["step"]}, validation error '
        f'{run.best["validation_error"]:.2f} %{kept_error}'
    )
  return (
      f'finished: {run.dataset}, {run.num_labeled} labels, {run.objective}, {whose} {error} after '
      f'{run.num_epochs:.4g} epochs in {run.wall_time_s:.0f} s{kept}; see {workdir}'
  )
