"""The multiscale step on a GPU: beside the supervised step, PyTorch, and the card's peak.

    python -m benchmarks.accelerator --out=results/benchmark_gpu.json

Large CNN and Resnet3-64, batches of 50 and 400, in float32, tf32 and bfloat16 (PyTorch: eager,
automatic mixed precision for bfloat16). A turn is a number of steps queued without waiting. `peak`
is the rate of a large matrix product in the same precision, measured in the same run; `of_peak` the
share of it that the step's arithmetic (the compiler's count) reaches. Runs on any backend; the
sizes suit a GPU. `--loop` adds steps per second of a whole run (`benchmarks.loop`).
"""

import argparse
import functools

import jax
import jax.numpy as jnp

from benchmarks import timing
from benchmarks.convolutions import NETWORKS, make_batch, make_training, torch_inputs, torch_layers
from benchmarks.step import arithmetic
from multiscale_inversion import precision

OBJECTIVES = ('supervised', 'multiscale')


def jax_turn(network, objective, precision_name, batch, num_steps):
  """Queue `num_steps` compiled steps and wait for the last."""
  training_step, state = make_training(*NETWORKS[network], objective, precision_name)
  held = [state]
  step = jax.jit(training_step, donate_argnums=0)

  def turn():
    for _ in range(num_steps):
      held[0], _ = step(held[0], batch, jax.random.key(1))
    jax.block_until_ready(held[0])

  return turn


def torch_turn(network, objective, precision_name, batch, num_steps):
  """Measure the same in PyTorch."""
  import torch  # noqa: PLC0415 (only where it is a contestant)

  from benchmarks import torch_step  # noqa: PLC0415

  device = 'cuda' if torch.cuda.is_available() else 'cpu'
  dtype = torch.bfloat16 if precision_name == 'bfloat16' else torch.float32
  step = torch_step.make_step(torch_layers(network).to(device), objective, dtype)
  inputs = [tensor.to(device) for tensor in torch_inputs(batch)]

  def turn():
    torch.backends.cuda.matmul.allow_tf32 = precision_name == 'tf32'
    torch.backends.cudnn.allow_tf32 = precision_name == 'tf32'
    for _ in range(num_steps):
      step(*inputs)
    if device == 'cuda':
      torch.cuda.synchronize()

  return turn


@functools.cache
def peak(precision_name: str, size: int) -> float:
  """Return the operations per second of a product of two square matrices."""
  matmul, dtype = precision.get(precision_name)
  a = jax.random.normal(jax.random.key(0), (size, size), dtype or jnp.float32)
  with jax.default_matmul_precision(matmul):
    product = jax.jit(lambda a: a @ a).lower(a).compile()
  times = timing.interleave({'product': lambda: jax.block_until_ready(product(a))}, 7)
  return 2 * size**3 / times['product']['median_s']


@functools.cache
def _flops(network: str, objective: str, batch_size: int) -> float:
  """Return the number of operations of a step, the same in every precision."""
  return arithmetic(*NETWORKS[network], objective, make_batch(batch_size))


def compare(network, precision_name, batch_size, arguments):
  """Measure one network in one precision with one batch size."""
  batch = make_batch(batch_size)
  what = (precision_name, batch, arguments.steps)
  turns = {objective: jax_turn(network, objective, *what) for objective in OBJECTIVES}
  if not arguments.no_torch:
    turns |= {f'torch_{name}': torch_turn(network, name, *what) for name in OBJECTIVES}
  times = timing.interleave(turns, arguments.rounds)
  flops = {objective: _flops(network, objective, batch_size) for objective in OBJECTIVES}
  top = peak(precision_name, arguments.peak_size)
  result = {
      'ms_per_step': {n: 1e3 * t['median_s'] / arguments.steps for n, t in times.items()},
      'times': times,
      'flops': flops,
      'peak_flops_per_s': top,
      'of_peak': {o: flops[o] * arguments.steps / times[o]['median_s'] / top for o in OBJECTIVES},
      'multiscale_over_supervised': timing.ratio(times, 'multiscale', 'supervised'),
  }
  if not arguments.no_torch:
    result['torch_over_jax'] = {o: timing.ratio(times, f'torch_{o}', o) for o in OBJECTIVES}
  return result


def main():
  """Run the benchmark."""
  parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
  parser.add_argument('--networks', nargs='+', default=list(NETWORKS), choices=list(NETWORKS))
  parser.add_argument('--precisions', nargs='+', default=list(precision.NAMES))
  parser.add_argument('--batch_sizes', nargs='+', type=int, default=[50, 400])
  parser.add_argument('--rounds', type=int, default=7)
  parser.add_argument('--steps', type=int, default=20)
  parser.add_argument('--peak_size', type=int, default=8192)
  parser.add_argument('--no-torch', action='store_true')
  parser.add_argument('--loop', action='store_true')
  parser.add_argument('--out')
  arguments = parser.parse_args()
  measured = {}
  for network in arguments.networks:
    for name in arguments.precisions:
      for batch_size in arguments.batch_sizes:
        key = f'{network}, {name}, batch {batch_size}'
        measured[key] = compare(network, name, batch_size, arguments)
        # What was measured is kept, however the rest goes.
        timing.publish('accelerator', measured, arguments.out, packages=('torch',))
  if arguments.loop:
    from benchmarks import loop  # noqa: PLC0415

    measured['loop'] = loop.measure_both(epochs=8, repetitions=3)
    timing.publish('accelerator', measured, arguments.out, packages=('torch',))


if __name__ == '__main__':
  main()
