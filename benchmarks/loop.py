"""Steps per second of a whole run beside those of the bare compiled step.

    python -m benchmarks.loop --out=results/benchmark_loop.json

`experiments.main`'s loop on `digits_50`, with its records, checkpoints, display and sampling, from
the second epoch on; once without and once with its evaluation of the test set after each epoch. The
bare step repeats one batch. They take turns: between two dispatches of the run, the bare step runs
for as long.
"""

import argparse
import os
import tempfile
import time

import jax
import jax.numpy as jnp

from benchmarks import timing
from experiments import digits_50, records, run
from experiments import setup as setup_lib
from experiments.validation import resolve
from multiscale_inversion import training


class Turns:
  """Called between a run's dispatches: times what came since, then the bare step for as long."""

  def __init__(self, bare, skip_steps):
    self._bare, self._skip = bare, skip_steps
    self._last = None
    self.run_seconds, self.run_steps = 0.0, 0
    self.bare_seconds, self.bare_steps = 0.0, 0

  def __call__(self, step):
    """Takes the turn that ends at this step; asks for no stop."""
    now = time.perf_counter()
    if self._last is not None and self._last[1] >= self._skip:
      elapsed = now - self._last[0]
      self.run_seconds += elapsed
      self.run_steps += step - self._last[1]
      while time.perf_counter() - now < elapsed:
        self._bare()
        self.bare_steps += 1
      self.bare_seconds += time.perf_counter() - now
    self._last = time.perf_counter(), step
    return False

  def result(self):
    """Steps per second of both, and their ratio."""
    loop, bare = self.run_steps / self.run_seconds, self.bare_steps / self.bare_seconds
    return {
        'loop_steps_per_s': loop,
        'bare_steps_per_s': bare,
        'loop_over_bare': loop / bare,
        'steps': self.run_steps,
    }


def bare_step(setup):
  """The compiled training step alone."""
  step = jax.jit(setup.trainer.train_step, donate_argnums=0)
  indices = setup.sampler.batch(setup.keys.sampling, jnp.int32(0))
  batch = training.gather_batch(setup.train_data, *indices)
  held = [setup.initial_state()]

  def one():
    held[0], _ = jax.block_until_ready(step(held[0], batch, setup.keys.dropout))

  one()
  return one


def measure(config, repetitions):
  """Runs the configuration, with the bare step in between."""
  setup = setup_lib.build(resolve(config))
  bare = bare_step(setup)
  results = []
  for _ in range(repetitions):
    turns = Turns(bare, setup.sampler.steps_per_epoch)
    with tempfile.TemporaryDirectory() as folder:
      run.train_and_evaluate(config, os.path.join(folder, 'run'), turns)
    results.append(turns.result())
  return sorted(results, key=lambda result: result['loop_over_bare'])[len(results) // 2]


def measure_both(epochs, repetitions):
  """Without and with evaluation after each epoch."""
  config = digits_50.get_config()
  config.num_epochs = epochs
  measured = {}
  for name, eval_every in (('without_evaluation', 10**6), ('with_evaluation', 1)):
    config.eval_every_epochs = eval_every
    measured[name] = measure(config, repetitions)
  measured['config'] = records.as_json(resolve(config).to_dict())
  return measured


def main():
  """Runs the benchmark."""
  parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
  parser.add_argument('--epochs', type=int, default=8)
  parser.add_argument('--repetitions', type=int, default=3)
  parser.add_argument('--out')
  arguments = parser.parse_args()
  measured = measure_both(arguments.epochs, arguments.repetitions)
  timing.publish('loop', measured, arguments.out)


if __name__ == '__main__':
  main()
