"""Several seeds in one program: vectorized, and one after the other.

    python -m benchmarks.seeds --out=results/benchmark_seeds.json

The training loop of `digits_50` (8x8 images) and of `mnist_50`'s network on images of its size, for
some numbers of seeds: seconds a step and seed, beside a single run's.
"""

import argparse

import jax.numpy as jnp
import numpy as np
import optax

from benchmarks import dispatch, timing
from multiscale_inversion import networks, objectives, seeds, training
from multiscale_inversion.data import Sampler

SETTINGS = {'digits': (8, 20), 'mnist': (28, 1)}  # edge of the images, steps a dispatch


def make(edge, num_steps, count, mode):
  """A dispatch of `num_steps` steps of each of `count` seeds."""
  network = networks.create('resnet', 10, blocks_per_group=2, width=32)
  trainer = training.Trainer(network, objectives.create('multiscale'), optax.adam(0.002))
  sampler = Sampler(50, 1250, 25, 25)
  random = np.random.RandomState(0)
  images = jnp.asarray(random.randint(256, size=(1300, edge, edge, 1)), jnp.uint8)
  labels = jnp.asarray(random.randint(10, size=1300), jnp.int32)
  runs = []
  for seed in range(count):
    order = np.random.RandomState(seed).permutation(1300).astype(np.int32)
    data = training.TrainData(images, labels, jnp.asarray(order[:50]), jnp.asarray(order[50:]))
    keys = training.keys_from_seed(seed)
    state = training.create_state(network, trainer.optimizer, keys.init, (edge, edge, 1))
    runs.append((training.start(trainer, sampler, state, data), data, keys))
  progress, data, keys = runs[0]
  if mode is not None:
    progress, keys = seeds.stack([r[0] for r in runs]), seeds.stack([r[2] for r in runs])
    data = training.TrainData(images, labels, *(jnp.stack([r[1][i] for r in runs]) for i in (2, 3)))
  loop = training.make_loop(trainer, sampler, seeds_mode=mode)
  return dispatch.repeated(loop, progress, data, keys, num_steps)


def main():
  """Runs the benchmark."""
  parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
  parser.add_argument('--settings', nargs='+', default=list(SETTINGS), choices=list(SETTINGS))
  parser.add_argument('--counts', nargs='+', type=int, default=[4])
  parser.add_argument('--rounds', type=int, default=7)
  parser.add_argument('--out')
  arguments = parser.parse_args()
  measured = {}
  for setting in arguments.settings:
    edge, num_steps = SETTINGS[setting]
    contestants = {'single': make(edge, num_steps, 1, None)}
    work = {'single': num_steps}
    for count in arguments.counts:
      for mode in seeds.MODES:
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
