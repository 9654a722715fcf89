"""Steps per second of a whole run beside those of the bare compiled step.

    python -m benchmarks.loop --out=results/benchmark_loop.json

`experiments.main`'s loop on `digits_50`, with its records, checkpoints, display and sampling, from
the second epoch on; once without and once with its evaluation of the test set after each epoch. The
bare step repeats one batch: as a program of one step, dispatched ten times before one waits, and as
a program of ten steps, which is the faster on a CPU. They take turns: between two dispatches of the
run, one of the bare ones runs for as long.
"""

import argparse
import os
import tempfile
import time

import jax
import jax.numpy as jnp

from benchmarks import timing
from experiments import digits_50
from multiscale_inversion import training
from multiscale_inversion.runs import build as setup_lib
from multiscale_inversion.runs import loop as run
from multiscale_inversion.runs.config import resolve
from multiscale_inversion.runs.recorded import as_json

TOGETHER = 10  # bare steps


class Turns:
  """Called between a run's dispatches: times what came since, then a bare one for as long."""

  def __init__(self, bare, skip_steps):
    self._bare, self._skip = bare, skip_steps
    self._last, self._turn = None, 0
    self.run_seconds, self.run_steps = 0.0, 0
    self.bare_seconds = dict.fromkeys(bare, 0.0)
    self.bare_steps = dict.fromkeys(bare, 0)

  def __call__(self, step):
    """Take the turn that ends at this step, and ask for no stop."""
    now = time.perf_counter()
    if self._last is not None and self._last[1] >= self._skip:
      elapsed = now - self._last[0]
      self.run_seconds += elapsed
      self.run_steps += step - self._last[1]
      name = list(self._bare)[self._turn % len(self._bare)]
      self._turn += 1
      while time.perf_counter() - now < elapsed:
        self._bare[name]()
        self.bare_steps[name] += TOGETHER
      self.bare_seconds[name] += time.perf_counter() - now
    self._last = time.perf_counter(), step
    return False

  def result(self):
    """Return the steps per second of each, and the ratio to the fastest bare one."""
    loop = self.run_steps / self.run_seconds
    bare = {name: self.bare_steps[name] / self.bare_seconds[name] for name in self._bare}
    return {
        'loop_steps_per_s': loop,
        'bare_steps_per_s': bare,
        'loop_over_bare': loop / max(bare.values()),
        'steps': self.run_steps,
    }


def bare_steps(setup):
  """`TOGETHER` training steps, their metrics summed: a program of one, and a program of all.

  Each time from the initial weights, or repeating one batch would change what is timed; their
  copy, a few megabytes, is timed, too. Without the metrics a step would not be the run's: XLA then
  fuses it otherwise, and on a CPU more slowly.
  """
  indices = setup.sampler.batch(setup.keys.sampling, jnp.int32(0))
  batch = training.gather_batch(jax.tree.map(jnp.asarray, setup.train_data), *indices)
  initial = setup.initial_loop_state()

  def one(loop_state, batch, key):
    return training.advance(setup.training_step, loop_state, batch, key)

  def several(loop_state, batch, key):
    return jax.lax.fori_loop(0, TOGETHER, lambda _, state: one(state, batch, key), loop_state)

  def repeated(step, count):
    compiled = jax.jit(step, donate_argnums=0)

    def run_all():
      loop_state = jax.tree.map(jnp.copy, initial)
      for _ in range(count):
        loop_state = compiled(loop_state, batch, setup.keys.dropout)
      jax.block_until_ready(loop_state)

    run_all()
    return run_all

  return {'one_step': repeated(one, TOGETHER), 'ten_steps': repeated(several, 1)}


def measure(config, repetitions):
  """Run the configuration, with the bare step in between."""
  setup = setup_lib.build(resolve(config))
  bare = bare_steps(setup)
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
  measured['config'] = as_json(resolve(config).to_dict())
  return measured


def main():
  """Run the benchmark."""
  parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
  parser.add_argument('--epochs', type=int, default=8)
  parser.add_argument('--repetitions', type=int, default=3)
  parser.add_argument('--out')
  arguments = parser.parse_args()
  measured = measure_both(arguments.epochs, arguments.repetitions)
  timing.publish('loop', measured, arguments.out)


if __name__ == '__main__':
  main()
