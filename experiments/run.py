"""One run: train, evaluate, record; resumed where it was interrupted."""

import os
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from experiments import display, records
from experiments import setup as setup_lib
from experiments.pace import Pace
from experiments.validation import resolve, validate
from multiscale_inversion import evaluation, training
from multiscale_inversion.checkpoints import Checkpoints
from multiscale_inversion.writers import MetricWriter


class Interrupted(Exception):
  """The run was asked to stop; its checkpoint is saved."""


class Diverged(Exception):
  """The loss is not finite."""


def train_and_evaluate(
    config: ConfigDict,
    workdir: str,
    should_stop: Callable[[int], bool] = lambda step: False,
    command: str = '',
) -> dict[str, Any]:
  """Trains, evaluates on the whole test set, and writes everything into a folder.

  The same call again goes on from the latest checkpoint, and on a finished run returns at once.

  Args:
    config: see `defaults`.
    workdir: the run's folder, made where there is none.
    should_stop: asked after each group of steps with the number of steps done; True ends the run.
    command: recorded in the summary: how the run was started.

  Returns:
    The content of `summary.json`.

  Raises:
    UserError: for a wrong configuration, a missing data set, a folder of another run.
    Interrupted: if `should_stop` said so; the state is saved.
    Diverged: if the loss is not finite.
  """
  validate(config)
  resolved = resolve(config)
  records.check(workdir, resolved)
  summary_path = os.path.join(workdir, 'summary.json')
  summary = records.read_json(summary_path)
  if summary is not None:
    return summary
  setup = setup_lib.build(config)
  records.claim(workdir, resolved)
  run = _Run(resolved, setup, workdir)
  try:
    run.train(should_stop)
  finally:
    run.close()
  records.write_json(summary_path, run.summary(command))
  return records.read_json(summary_path)


class _Run:
  """A run under way: the training's state, and the files and the display that it feeds."""

  def __init__(self, config: ConfigDict, setup: setup_lib.Setup, workdir: str):
    self._config = config
    self._setup = setup
    self._steps_per_epoch = setup.sampler.steps_per_epoch
    self._num_steps = setup.num_steps
    self._loop = training.make_loop(setup.trainer, setup.sampler)
    self._evaluate = evaluation.make_evaluation(setup.trainer.network)
    self._diagnose = training.make_diagnosis(setup.trainer, setup.sampler)
    self._test_error = None
    self._scalars: dict[str, float] = {}

    state = setup.initial_state()
    self._progress = training.start(setup.trainer, setup.sampler, state, setup.train_data)
    self._num_parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    self._checkpoints = Checkpoints(os.path.join(workdir, 'checkpoints'))
    self._step, earlier_seconds = 0, 0.0
    latest = self._checkpoints.latest_step()
    if latest is not None:
      self._progress, notes = self._checkpoints.restore(latest, self._progress)
      self._step, earlier_seconds = latest, notes['wall_time_s']
      self._test_error, self._scalars = notes['test_error'], notes['scalars']
    self._started = time.monotonic() - earlier_seconds
    self._saved = time.monotonic()
    self._writer = MetricWriter(workdir, self._step)
    self._display = display.create()

  def train(self, should_stop: Callable[[int], bool]) -> None:
    """Trains to the end."""
    pace = Pace()
    while self._step < self._num_steps:
      boundary = self._next_boundary()
      count = pace.next_count(boundary - self._step)
      with pace.timed(count):
        self._progress = jax.block_until_ready(
            self._loop(self._progress, self._setup.train_data, self._setup.keys, count)
        )
      self._step += count
      if self._step == boundary:
        self._record()
      self._show(pace.steps_per_second)
      stop = self._step < self._num_steps and should_stop(self._step)
      self._checkpoint(now=stop or self._step == self._num_steps)
      if stop:
        raise Interrupted(f'interrupted at step {self._step} of {self._num_steps}')

  def close(self) -> None:
    """Waits for the checkpoint and closes the files."""
    self._display.close()
    self._writer.close()
    self._checkpoints.close()

  def _next_boundary(self) -> int:
    """The step of the next record: every so many steps of an epoch, and its end."""
    epoch_start = self._step - self._step % self._steps_per_epoch
    logged = self._step - epoch_start + self._config.log_every_steps
    logged -= logged % self._config.log_every_steps
    return min(epoch_start + min(logged, self._steps_per_epoch), self._num_steps)

  def _record(self) -> None:
    """Writes the means since the last record and, at the end of an epoch, the test error."""
    sums = dict(self._progress.sums)
    if not self._setup.trainer.objective.inverts:
      sums |= self._diagnose(self._progress.state, self._setup.train_data, self._setup.keys)
    self._progress = self._progress._replace(
        sums=jax.tree.map(jnp.zeros_like, self._progress.sums)
    )
    self._scalars = {f'train/{name}': mean.value() for name, mean in jax.device_get(sums).items()}
    scalars = dict(self._scalars)
    epochs, rest = divmod(self._step, self._steps_per_epoch)
    at_epoch = rest == 0 and epochs % self._config.eval_every_epochs == 0
    if at_epoch or self._step == self._num_steps:
      scalars |= self._test()
    self._writer.write(self._step, round(self._step / self._steps_per_epoch, 4), scalars)
    if not jnp.isfinite(scalars['train/loss']):
      raise Diverged(
          f'the loss is {scalars["train/loss"]} at step {self._step}: training diverged with '
          f'learning_rate {self._config.learning_rate}; a smaller one may do'
      )

  def _test(self) -> dict[str, float]:
    variables = self._progress.state.variables()
    measured = jax.device_get(self._evaluate(variables, self._setup.test_data))
    self._test_error = 100 * measured['error'].value()
    return {
        'test/error': self._test_error,
        'test/cross_entropy': measured['cross_entropy'].value(),
    }

  def _show(self, steps_per_second: float | None) -> None:
    status = display.Status(
        self._step,
        self._num_steps,
        self._step / self._steps_per_epoch,
        self._num_steps / self._steps_per_epoch,
        self._scalars,
        self._test_error,
        steps_per_second,
    )
    self._display.show(status, final=self._step == self._num_steps)

  def _checkpoint(self, now: bool) -> None:
    due = time.monotonic() - self._saved >= self._config.checkpoint_every_seconds
    if now or due:
      notes = {
          'wall_time_s': time.monotonic() - self._started,
          'test_error': self._test_error,
          'scalars': self._scalars,
      }
      self._checkpoints.save(self._step, self._progress, notes)
      self._saved = time.monotonic()

  def summary(self, command: str) -> dict[str, Any]:
    """What `summary.json` holds."""
    config = self._config
    return {
        'test_error': self._test_error,
        'dataset': config.data.name,
        'network': config.network.name,
        'objective': config.objective.name,
        'num_labeled': config.data.num_labeled,
        'seed': config.seed,
        'num_parameters': self._num_parameters,
        'num_steps': self._num_steps,
        'num_epochs': self._num_steps / self._steps_per_epoch,
        'wall_time_s': round(time.monotonic() - self._started, 2),
        'train': {name: round(value, 6) for name, value in self._scalars.items()},
        'command': command,
        'config': config.to_dict(),
        'hardware': records.hardware(),
        'versions': records.versions(),
    }
