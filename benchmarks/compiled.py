"""What a training step takes on machines that are not at hand, by their compilers' counts.

    python -m benchmarks.compiled --target=gpu:h100 --out=results/benchmark_compiled_h100.json

Compiles the training step and the loop of each network, ahead of time, for a TPU slice or a GPU
(`jax.experimental.topologies`; the environment needs the extra `tpu` or `cuda`, no device). Memory,
operations, bytes, collectives and kernels are facts of the compiled program; `estimated_s` is an
estimate. Nothing runs, so nothing here is a time or says that results are right.

Each program is compiled in a process of its own (`benchmarks.program`), one at a time, and given up
after `--timeout` seconds, which is recorded, too.
"""

import argparse
import itertools
import json
import os
import shlex
import subprocess
import sys

import jax

from benchmarks import program, targets, timing
from benchmarks.programs import exit_status
from multiscale_inversion import precision
from multiscale_inversion.errors import UserError


def compile_one(command: list[str], environment: dict[str, str], timeout: float) -> dict:
  """Compile one program in a process of its own; return its counts, or what became of it.

  Raises:
    UserError: if there is no compiler for the target, or an option is wrong.
  """
  try:
    done = subprocess.run(
        [sys.executable, '-m', *command],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
  except subprocess.TimeoutExpired:
    return {'not_finished_after_s': timeout}
  last = (done.stderr.strip().splitlines() or [''])[-1]
  if done.returncode == 2 and last.startswith('error: '):
    raise UserError(last.removeprefix('error: '))
  if done.returncode:
    return {'failed': last[:300] or f'exit status {done.returncode}'}
  return json.loads(done.stdout.splitlines()[-1])


def compile_all(arguments: argparse.Namespace) -> None:
  """Compile every combination of the options; publish what there is after each."""
  environment = targets.parse(arguments.target).environment()
  fixed = [f'--target={arguments.target}', f'--batch_size={arguments.batch_size}']
  fixed += [f'--image_size={arguments.image_size}']
  fixed += [f'--options={json.dumps(arguments.options)}'] if arguments.options else []
  fixed += [f'--dropout_generator={arguments.dropout_generator}']
  fixed += ['--rematerialize'] if arguments.rematerialize else []
  programs = []
  for names in itertools.product(
      arguments.networks, arguments.precisions, arguments.programs, arguments.objectives
  ):
    setting = dict(zip(('network', 'precision', 'program', 'objective'), names, strict=True))
    command = ['benchmarks.program', *fixed, *(f'--{k}={v}' for k, v in setting.items())]
    print(shlex.join(command), file=sys.stderr)
    programs.append(setting | compile_one(command, environment, arguments.timeout))
    # What was compiled is kept, however the rest goes.
    timing.publish(
        'compiled',
        {'target': arguments.target, 'programs': programs},
        arguments.out,
        packages=('libtpu', 'jax-cuda12-plugin', 'nvidia-cudnn-cu12'),
    )


def main() -> int:
  """Run the benchmark; return its exit status."""
  parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
  parser.add_argument('--target', required=True, help=targets.ALLOWED)
  names = list(program.NETWORKS)
  parser.add_argument('--networks', nargs='+', default=names, choices=names)
  parser.add_argument('--precisions', nargs='+', default=['float32'], choices=precision.NAMES)
  for option in ('programs', 'objectives'):
    choices = getattr(program, option.upper())
    parser.add_argument(f'--{option}', nargs='+', default=list(choices), choices=choices)
  parser.add_argument('--timeout', type=float, default=480, help='seconds for one program')
  parser.add_argument('--out')
  program.add_options(parser)
  jax.config.update('jax_platforms', 'cpu')  # a device is left to the processes that compile for it
  arguments = parser.parse_args()
  return exit_status(lambda: compile_all(arguments))


if __name__ == '__main__':
  sys.exit(main())
