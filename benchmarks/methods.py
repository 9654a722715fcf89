"""What a training step of each method costs beside the supervised step.

    python -m benchmarks.methods --out=results/benchmark_methods.json

The settings `digits_methods/*`: Resnet2-32, 50 images of 8x8 a batch, by turns. With
`--settings='mnist_50_equal_time/*'` Resnet2-16max on images of 28x28, whose times give the numbers
of steps in `experiments/studies/images.py`.
"""

import argparse

from benchmarks import dispatch, timing
from experiments.studies import settings
from multiscale_inversion.runs import build as setup_lib


def make(name: str, num_steps: int):
  """Return a function that runs `num_steps` steps of a setting."""
  setup = setup_lib.build(settings.config(name))
  loop_state = setup.execution.devices.replicate(setup.initial_loop_state())
  return dispatch.repeated(setup.make_loop(), loop_state, num_steps)


def main():
  """Run the benchmark."""
  parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
  parser.add_argument('--rounds', type=int, default=7)
  parser.add_argument('--steps', type=int, default=10)
  parser.add_argument('--settings', nargs='+', default=['digits_methods/*'])
  parser.add_argument('--out')
  arguments = parser.parse_args()
  names = settings.matching(arguments.settings)
  contestants = {name.split('/', 1)[1]: make(name, arguments.steps) for name in names}
  times = timing.interleave(contestants, arguments.rounds)
  measured = {
      'times': times,
      'ms_per_step': {n: 1e3 * t['median_s'] / arguments.steps for n, t in times.items()},
      'over_supervised': {name: timing.ratio(times, name, 'supervised') for name in times},
  }
  timing.publish('methods', measured, arguments.out)


if __name__ == '__main__':
  main()
