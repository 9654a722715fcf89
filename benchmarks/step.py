"""What the multiscale step costs beside the supervised step: arithmetic, time and memory.

    python -m benchmarks.step --out=results/benchmark_step.json

Large CNN and Resnet3-64, a batch of 50 images of 32x32x3; then Resnet n-16 of n = 1, 2, 4, 8 blocks
a group, which shows how both grow with depth. Arithmetic is the compiler's count of the program
with XLA's own convolutions (it does not look into the loops of the others); memory is the
compiler's count of what the step allocates beside its arguments.
"""

import argparse

import jax

from benchmarks import timing
from benchmarks.convolutions import NETWORKS, forced, make_batch, make_training

BLOCKS = (1, 2, 4, 8)


def lower(network, options, objective, batch, implementation=None, rematerialize=False):
  """Return the lowered step and its state."""
  with forced(implementation):
    training_step, state = make_training(network, options, objective, rematerialize=rematerialize)
    return jax.jit(training_step).lower(state, batch, jax.random.key(1)), state


def arithmetic(network, options, objective, batch) -> float:
  """Floating-point operations of a compiled step, by the compiler's count."""
  return lower(network, options, objective, batch, 'lax')[0].compile().cost_analysis()['flops']


def compare(network, options, batch, rounds, rematerialize=True):
  """Both steps of one network."""
  variants = {'supervised': ('supervised', False), 'multiscale': ('multiscale', False)}
  if rematerialize:
    variants['multiscale_rematerialized'] = ('multiscale', True)
  runs, memory = {}, {}
  for name, (objective, again) in variants.items():
    lowered, state = lower(network, options, objective, batch, rematerialize=again)
    step = lowered.compile()
    memory[name] = step.memory_analysis().temp_size_in_bytes
    runs[name] = lambda step=step, state=state: jax.block_until_ready(
        step(state, batch, jax.random.key(1))
    )
  times = timing.interleave(runs, rounds)
  flops = {o: arithmetic(network, options, o, batch) for o in ('supervised', 'multiscale')}
  return {
      'times': times,
      'temporary_bytes': memory,
      'flops': flops,
      'multiscale_over_supervised': {
          'flops': flops['multiscale'] / flops['supervised'],
          'time': timing.ratio(times, 'multiscale', 'supervised'),
          'temporary_bytes': memory['multiscale'] / memory['supervised'],
      },
  }


def main():
  """Run the benchmark."""
  parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
  parser.add_argument('--rounds', type=int, default=7)
  parser.add_argument('--batch_size', type=int, default=50)
  parser.add_argument('--out')
  arguments = parser.parse_args()
  batch = make_batch(arguments.batch_size)
  measured = {
      name: compare(network, options, batch, arguments.rounds)
      for name, (network, options) in NETWORKS.items()
  }
  measured['by_depth'] = {
      f'resnet{n}_16': compare(
          'resnet', {'blocks_per_group': n, 'width': 16}, batch, arguments.rounds, False
      )
      for n in BLOCKS
  }
  timing.publish('step', measured, arguments.out)


if __name__ == '__main__':
  main()
