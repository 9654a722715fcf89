"""Several seeds in one program: vectorized, and one after the other.

    python -m benchmarks.seeds --out=results/benchmark_seeds.json

The training loop of `digits_50` (8x8 images) and of `mnist_50`'s network on images of its size, for
some numbers of seeds: seconds a step and seed, beside a single run's.
"""

import argparse

import numpy as np
import optax

from benchmarks import dispatch, timing
from multiscale_inversion import execution, networks, objectives, training
from multiscale_inversion.data import Sampler

SETTINGS = {'digits': (8, 20), 'mnist': (28, 1)}  # edge of the images, steps a dispatch


def make(edge, num_steps, count, mode):
  """Return a function that runs `num_steps` steps of each of `count` seeds."""
  network = networks.create('resnet', 10, blocks_per_group=2, width=32)
  step = training.TrainingStep(network, objectives.create('multiscale'), optax.adam(0.002))
  sampler = Sampler(50, 1250, 25, 25)
  random = np.random.RandomState(0)
  images = random.randint(256, size=(1300, edge, edge, 1)).astype(np.uint8)
  labels = random.randint(10, size=1300).astype(np.int32)
  program = execution.Execution(seeds=tuple(range(count)), mode=mode)
  order = lambda seed: np.random.RandomState(seed).permutation(1300).astype(np.int32)
  keys = program.for_each_seed(training.keys_from_seed)

  def initial(seed):
    key = training.keys_from_seed(seed).init
    state = training.create_state(network, step.optimizer, key, (edge, edge, 1))
    return training.LoopState(state, step.zero_sums(state, 50, (edge, edge, 1)))

  data = training.TrainData(images, labels, *np.split(program.for_each_seed(order), [50], axis=-1))
  loop = training.ResidentLoop(step, sampler, data, keys, program)
  return dispatch.repeated(loop, program.for_each_seed(initial), num_steps)


def main():
  """Run the benchmark."""
  parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
  parser.add_argument('--settings', nargs='+', default=list(SETTINGS), choices=list(SETTINGS))
  parser.add_argument('--counts', nargs='+', type=int, default=[4])
  parser.add_argument('--rounds', type=int, default=7)
  parser.add_argument('--out')
  arguments = parser.parse_args()
  measured = {}
  for setting in arguments.settings:
    edge, num_steps = SETTINGS[setting]
    contestants = {'single': make(edge, num_steps, 1, execution.DEFAULT_MODE)}
    work = {'single': num_steps}
    for count in arguments.counts:
      for mode in execution.MODES:
        name = f'{mode}_{count}'
        contestants[name], work[name] = make(edge, num_steps, count, mode), num_steps * count
    times = timing.interleave(contestants, arguments.rounds)
    per_step = {name: times[name]['median_s'] / work[name] for name in times}
    measured[setting] = {
        'times': times,
        'seconds_per_step_and_seed': per_step,
        'over_single': {name: per_step[name] / per_step['single'] for name in per_step},
    }
  timing.publish('seeds', measured, arguments.out)


if __name__ == '__main__':
  main()
