"""Batches streamed from the host beside data that stay on the device.

    python -m benchmarks.placement --out=results/benchmark_placement.json

The training loop of `digits_50`, whose steps are short, in both placements: steps per second, in
turns of one epoch each.
"""

import argparse

import jax

from benchmarks import timing
from experiments import digits_50
from multiscale_inversion.runs import build as setup_lib
from multiscale_inversion.runs.config import resolve


def make(config, placement):
  """Return a function that trains for an epoch, and the steps of an epoch."""
  config.data.placement = placement
  config.num_epochs = 1000
  setup = setup_lib.build(resolve(config))
  loop = setup.make_loop()
  held = [setup.execution.devices.replicate(setup.initial_loop_state())]

  def epoch():
    count = setup.sampler.steps_per_epoch
    held[0] = jax.block_until_ready(loop.advance(held[0], count))

  return epoch, setup.sampler.steps_per_epoch


def main():
  """Run the benchmark."""
  parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
  parser.add_argument('--rounds', type=int, default=9)
  parser.add_argument('--out')
  arguments = parser.parse_args()
  made = {placement: make(digits_50.get_config(), placement) for placement in ('device', 'host')}
  times = timing.interleave({name: epoch for name, (epoch, _) in made.items()}, arguments.rounds)
  (count,) = {count for _, count in made.values()}
  measured = {
      'times': times,
      'steps_per_s': {name: count / times[name]['median_s'] for name in times},
      'host_over_device': timing.ratio(times, 'device', 'host'),
  }
  timing.publish('placement', measured, arguments.out)


if __name__ == '__main__':
  main()
