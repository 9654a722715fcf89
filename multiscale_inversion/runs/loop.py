"""Run one configuration: train, evaluate, record, and resume after an interruption."""

import contextlib
import dataclasses
import math
import statistics
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from multiscale_inversion import evaluation, parallel, quality
from multiscale_inversion.checkpoints import Checkpoint, Checkpoints, all_finite
from multiscale_inversion.data import Dataset
from multiscale_inversion.errors import UserError
from multiscale_inversion.files import read_bytes
from multiscale_inversion.runs import build as setup_lib
from multiscale_inversion.runs import display, environment, recorded
from multiscale_inversion.runs.callbacks import Callback, Callbacks, Record
from multiscale_inversion.runs.config import resolve, validate
from multiscale_inversion.runs.finished import FinishedRun, SeedResult
from multiscale_inversion.runs.folder import BATCH, RunFolder, about_data
from multiscale_inversion.runs.kept import Kept
from multiscale_inversion.runs.pace import Pace
from multiscale_inversion.runs.writers import NoWriter, SeedWriters, mean_scalars

# The time of compilation beside that of the initial state, whose making traces a step: 1 to 3, from
# a supervised step to FixMatch's on two cores.
_COMPILATION = 2
_MOST_CLASSES = 100  # whose confusion matrix a summary holds


class Interrupted(Exception):
  """The run was asked to stop; its checkpoint is saved."""


class Diverged(Exception):
  """Training diverged: the loss or a parameter is not finite."""


def train_and_evaluate(
    config: ConfigDict,
    workdir: str,
    should_stop: Callable[[int], bool] = lambda step: False,
    command: str = '',
    config_file: str | None = None,
    dataset: Dataset | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
    initial_variables: Mapping[str, Any] | None = None,
) -> FinishedRun:
  """Train, evaluate on the whole test set, and write everything to a folder.

  The same call again resumes from the latest checkpoint, and returns a finished run at once.
  If several processes train together, all of them call it; only process 0 writes and shows.

  Args:
    config: see `defaults`.
    workdir: the run's folder, made if there is none.
    should_stop: called after each group of steps with the number of steps done; True ends the run.
    command: the command that started the run, for the summary.
    config_file: the file that made the configuration. If the objective is a function, the file is
      copied to the folder, and the run resumes only with the same content. If None, it is the file
      that defines the function.
    dataset: the data set, in place of that of the configuration.
    callbacks: told of records, checkpoints and the end, in process 0.
    progress: whether process 0 shows data and progress on standard error.
    initial_variables: `params` and `batch_stats` that the training starts from, in place of random
      ones or those of the configuration's `init_from`.

  Returns:
    The finished run, as in `summary.json`.

  Raises:
    UserError: for a wrong configuration, a missing data set, a folder of another run.
    StorageError: if the folder cannot be written to; the call goes on from the last checkpoint.
    Interrupted: if `should_stop` returned True; the state is saved.
    Diverged: if the loss or a parameter is not finite.
  """
  validate(config)
  resolved = resolve(config)
  folder = RunFolder(workdir)
  # Read once: the file may change while the run trains.
  file = _function_file(resolved, config_file)
  folder.check_config(resolved, file)
  if folder.is_finished():
    _check_given_data(folder, resolved, dataset, initial_variables)
    return folder.summary()
  setup = setup_lib.build(config, dataset, folder.shares(), initial_variables)
  shares = setup.sampler.labeled_per_batch, setup.sampler.unlabeled_per_batch
  data_record = folder.check_data(setup.dataset, setup.initial_variables) | {BATCH: list(shares)}
  main = parallel.is_main_process()
  config_record = recorded.as_json(resolved.to_dict(), file)
  claim = folder.claim(config_record, data_record, file) if main else contextlib.nullcontext()
  with claim:
    if main and progress:
      labeled = np.atleast_2d(setup.train_data.labeled)[0]
      display.show_data(setup.dataset, setup.sampler, labeled)
      display.show_objective(resolved)
      display.show_batch(resolved.batch_size, *shares)
    shown = display.create() if main and progress else display.Nothing()
    listening = callbacks if main else ()
    with contextlib.closing(_Run(resolved, setup, folder, listening, shown)) as run:
      run.train(should_stop)
    finished = run.finished(command, config_record)
    if main:
      folder.write_summary(finished)
      Callbacks(callbacks).on_end(finished)
  return finished


def _check_given_data(
    folder: RunFolder,
    config: ConfigDict,
    given: Dataset | None,
    initial_variables: Mapping[str, Any] | None,
) -> None:
  """Check that a finished run is of the data that are given anew: in memory, or by another path.

  The weights that it started from are then checked, too. Data in the place where they were are not
  read again.
  """
  if given is None and folder.config()['data'].get('data_dir') == config.data.data_dir:
    return
  initial = setup_lib.initial_variables(config, initial_variables)
  folder.check_data(setup_lib.load_corrupted(config, given), initial)


def _function_file(config: ConfigDict, config_file: str | None) -> bytes | None:
  """Return the content of the file that defines the objective's function; None if there is none."""
  function = config.objective.function
  if function is None:
    return None
  return recorded.source_of(function) if config_file is None else read_bytes(config_file)


class _Run:
  """The state of a run, and the files and the display to which it writes."""

  def __init__(
      self,
      config: ConfigDict,
      setup: setup_lib.Setup,
      folder: RunFolder,
      callbacks: Sequence[Callback],
      shown: display.Display,
  ):
    self._config = config
    self._folder = folder
    self._setup = setup
    self._steps_per_epoch = setup.sampler.steps_per_epoch
    self._num_steps = setup.training_step.num_steps
    self._revision = environment.revision()
    self._devices = setup.execution.devices
    self._seeds = setup.execution.seeds
    self._evaluate = evaluation.make_evaluation(
        setup.training_step.network, setup.execution, setup.training_step.matmul_precision
    )
    # One entry for each seed:
    self._test_errors: list[float] = []
    self._validation_errors: list[float] = []
    self._confusions: list[np.ndarray] = []  # of the test images
    self._scalars: list[dict[str, float]] = []

    self._pace = Pace()
    self._kept = Kept(len(self._seeds), config.patience, config.keep_best)
    started = time.monotonic()
    loop_state = setup.initial_loop_state()
    self._tracing_seconds = time.monotonic() - started
    self._num_parameters = _size(loop_state.state.params) // len(self._seeds)
    self._checkpoints = Checkpoints(folder.checkpoints)
    self._step, earlier_seconds, num_records = 0, 0.0, 0
    found = self._restored(loop_state)
    if found is not None:
      loop_state, self._step = found.tree, found.step
      earlier_seconds = found.notes['wall_time_s']
      num_records = found.notes.get('num_records', 0)
      self._test_errors, self._scalars = found.notes['test_errors'], found.notes['scalars']
      self._confusions = [np.asarray(one) for one in found.notes.get('confusions', [])]
      self._restore_kept(found)
    self._loop_state = self._devices.replicate(loop_state)
    self._loop = setup.make_loop()
    self._started = time.monotonic() - earlier_seconds
    self._saved = time.monotonic()
    main = parallel.is_main_process()
    self._writers = SeedWriters(folder, self._step, self._seeds) if main else NoWriter()
    self._callbacks = Callbacks([self._writers, *callbacks])
    if self._writers.num_records < num_records:
      lost = num_records - self._writers.num_records
      warnings.warn(f'{folder.metrics_file()}: {lost} records are lost', stacklevel=1)
    self._display = shown
    if found is not None:
      shown.show_resumption(self._step, self._num_steps)

  def _restored(self, like: Any) -> Checkpoint | None:
    """Restore the checkpoint from which to go on, and prepare the folder for later ones."""
    found = self._checkpoints.restore(like)
    step = found.step if found else 0
    (first,) = parallel.from_main_process([step])
    if step != first:
      raise UserError(
          f'{self._folder}: holds no checkpoint of step {first}, from which process 0 goes on; '
          'allowed: a folder that all processes share'
      )
    if found is not None:
      self._folder.check_digests(found.notes.get('files'))
      missing = {'wall_time_s', 'test_errors', 'scalars'} - {*found.notes}
      if missing or step > self._num_steps:
        raise UserError(
            f'{self._folder.checkpoints}: the checkpoint of step {step} is not of this run of '
            f'{self._num_steps} steps; allowed: the folder as it was saved'
        )
    if parallel.is_main_process():
      self._checkpoints.tidy(found.step if found else None)
    return found

  def train(self, should_stop: Callable[[int], bool]) -> None:
    """Train to the end."""
    if not self._is_over():
      if parallel.any_process(should_stop(self._step)):
        raise self._interrupted()  # before the compilation, which takes long
      self._display.show_compilation(_COMPILATION * self._tracing_seconds)
    while not self._is_over():
      boundary = self._next_boundary()
      count, save = parallel.from_main_process(
          [self._pace.next_count(boundary - self._step), self._checkpoint_due()]
      )
      with self._pace.timed(count):
        self._loop_state = jax.block_until_ready(self._loop.advance(self._loop_state, count))
      self._step += count
      if self._step == boundary:
        self._record()
      self._show()
      unfinished = not self._is_over()
      stop = unfinished and parallel.any_process(should_stop(self._step))
      if save or stop or not unfinished:
        self._checkpoint()
      if stop:
        raise self._interrupted()

  def _is_over(self) -> bool:
    """Return whether training is at its end, or validation ends it early."""
    return self._step >= self._num_steps or self._kept.is_exhausted()

  def _restore_kept(self, found: Checkpoint) -> None:
    """Take up what was best by validation."""
    self._validation_errors = found.notes.get('validation_errors', [])
    if 'kept' in found.notes:
      # Of a run that keeps nothing, they need not be read.
      best = self._checkpoints.restore_variables() if self._config.keep_best else None
      self._kept.restore(found.notes['kept'], best and best.tree)

  def _interrupted(self) -> Interrupted:
    return Interrupted(f'interrupted at step {self._step} of {self._num_steps}')

  def close(self) -> None:
    """Wait for the checkpoint and close the files."""
    with contextlib.ExitStack() as stack:  # all are closed, even if one raises
      for part in (self._checkpoints, self._writers, self._display):
        stack.callback(part.close)

  def _next_boundary(self) -> int:
    """Return the step of the next record.

    It comes every `log_every_steps`, at the end of an epoch, and where an evaluation is due.
    """
    every = self._config.eval_every_steps
    evaluation = self._num_steps if every is None else self._step + every - self._step % every
    epoch_start = self._step - self._step % self._steps_per_epoch
    logged = self._step - epoch_start + self._config.log_every_steps
    logged -= logged % self._config.log_every_steps
    return min(epoch_start + min(logged, self._steps_per_epoch), evaluation, self._num_steps)

  def _evaluation_due(self) -> bool:
    if self._config.eval_every_steps is not None:
      return self._step % self._config.eval_every_steps == 0
    epochs, rest = divmod(self._step, self._steps_per_epoch)
    return rest == 0 and epochs % self._config.eval_every_epochs == 0

  def _record(self) -> None:
    """Write the means since the last record and, at the end of an epoch, the test error."""
    sums = dict(self._loop_state.sums)
    if not self._setup.training_step.objective.inverts:
      sums |= self._loop.diagnose(self._loop_state.state)
    self._loop_state = self._loop_state._replace(
        sums=jax.tree.map(jnp.zeros_like, self._loop_state.sums)
    )
    self._scalars = [
        {f'train/{name}': mean.value() for name, mean in means.items()}
        for means in self._setup.execution.fetch(sums)
    ]
    scalars = self._scalars
    tested = self._evaluation_due() or self._step == self._num_steps
    if tested:
      scalars = [train | test for train, test in zip(scalars, self._test(), strict=True)]
    rate = {'train/learning_rate': float(self._setup.schedule(self._step - 1))}
    scalars = [own | rate for own in scalars]
    epoch = round(self._step / self._steps_per_epoch, 4)
    self._callbacks.on_record(
        Record(self._step, epoch, mean_scalars(scalars), scalars, self._more(tested))
    )
    self._check_finite()

  def _more(self, tested: bool) -> dict[str, float]:
    """Return the scalars that TensorBoard alone shows."""
    speed = self._pace.steps_per_second
    found = {} if speed is None else {'steps_per_second': speed}
    if tested and self._confusions:
      errors = np.mean([quality.class_errors(one) for one in self._confusions], axis=0)
      names = self._setup.dataset.class_names
      found |= {
          f'test/class_error/{name}': float(error)
          for name, error in zip(names, errors, strict=True)
          if math.isfinite(error)
      }
    return found

  def _check_finite(self) -> None:
    for seed, scalars in zip(self._seeds, self._scalars, strict=True):
      loss = scalars['train/loss']
      if not math.isfinite(loss):
        raise self._diverged(f'the loss is {loss} at step {self._step} (seed {seed})')

  def _diverged(self, what: str) -> Diverged:
    own = self._config.objective.name == 'function'
    return Diverged(
        f'{what}: training diverged with learning_rate {self._config.learning_rate}; a smaller one '
        'may do' + (', if objective.function is finite by itself' if own else '')
    )

  def _test(self) -> list[dict[str, float]]:
    """Evaluate, and return each seed's scalars."""
    variables = self._setup.training_step.evaluated(self._loop_state.state)
    test = self._measured(variables, self._setup.test_data)
    validation = self._measured(variables, self._setup.validation_data)
    self._confusions = [means['confusion'].astype(int) for means in test]
    self._test_errors = _percents(test)
    self._validation_errors = _percents(validation)
    if validation:
      first = self._devices.first(variables)
      self._kept.update(self._step, self._validation_errors, self._test_errors, first)
    scalars: list[dict[str, float]] = [{} for _ in self._seeds]
    for part, measured in (('test', test), ('validation', validation)):
      for own, means in zip(scalars, measured, strict=False):  # there may be no images
        own.update({
            f'{part}/error': 100 * means['error'].value(),
            f'{part}/cross_entropy': means['cross_entropy'].value(),
            f'{part}/balanced_error': quality.balanced_error(means['confusion']),
        })
    return scalars

  def _measured(
      self, variables: Any, evaluated: evaluation.EvaluationData | None
  ) -> list[dict[str, Any]]:
    """Return each seed's metrics, see `evaluation.make_evaluation`; none without images."""
    if evaluated is None:
      return []
    return self._setup.execution.fetch(self._evaluate(variables, evaluated))

  def _show(self) -> None:
    status = display.Status(
        self._step,
        self._num_steps,
        self._step / self._steps_per_epoch,
        self._num_steps / self._steps_per_epoch,
        mean_scalars(self._scalars) if self._scalars else {},
        statistics.mean(self._test_errors) if self._test_errors else None,
        self._pace.steps_per_second,
        statistics.mean(self._validation_errors) if self._validation_errors else None,
    )
    self._display.show(status, final=self._is_over())

  def _checkpoint_due(self) -> bool:
    return time.monotonic() - self._saved >= self._config.checkpoint_every_seconds

  def _checkpoint(self) -> None:
    """Save the training.

    Raises:
      Diverged: if a parameter is not finite; nothing is saved then.
    """
    loop_state = jax.device_get(self._devices.first(self._loop_state))
    state = loop_state.state
    variables = self._kept.variables
    if variables is None:
      variables = jax.device_get(self._setup.training_step.evaluated(state))
    if not all_finite((state.variables(), state.opt_state, variables)):
      raise self._diverged(f'parameters are not finite at step {self._step}')
    self._callbacks.on_checkpoint(self._step)
    notes = {
        'wall_time_s': time.monotonic() - self._started,
        'test_errors': self._test_errors,
        'scalars': self._scalars,
        'num_records': self._writers.num_records,
        'validation_errors': self._validation_errors,
        'confusions': [one.tolist() for one in self._confusions],
        'kept': self._kept.notes(),
        'files': self._folder.digests() if parallel.is_main_process() else {},
    }
    self._checkpoints.save(self._step, loop_state, notes, variables)
    self._saved = time.monotonic()

  def finished(self, command: str, config_record: dict[str, Any]) -> FinishedRun:
    """Return the run, which has trained to its end.

    Args:
      command: the command that started it.
      config_record: the content of `config.json`.
    """
    config = self._config
    return FinishedRun(
        test_error=statistics.mean(self._test_errors) if self._test_errors else None,
        dataset=config.data.name,
        network=config.network.name,
        objective=config.objective.name,
        num_labeled=self._setup.sampler.num_labeled,
        seed=config.seed,
        num_parameters=self._num_parameters,
        num_steps=self._step,
        num_epochs=self._step / self._steps_per_epoch,
        stopped_early=True if self._step < self._num_steps else None,
        wall_time_s=round(time.monotonic() - self._started, 2),
        train=_rounded(mean_scalars(self._scalars)),
        **self._each_seed(),
        **about_data(self._setup.dataset),
        command=command,
        config=config_record,
        hardware=environment.hardware(),
        versions=environment.versions(),
        **self._revision,
    )

  def _each_seed(self) -> dict[str, Any]:
    """Return the entries of a finished run about its seed, or about each of several."""
    seeds = self._seeds
    errors: Sequence[float | None] = self._test_errors or [None] * len(seeds)
    more = [one | other for one, other in zip(self._validated(), self._confused(), strict=True)]
    if len(seeds) == 1:
      return more[0]
    validation = self._validation_errors
    return {
        **({'validation_error': statistics.mean(validation)} if validation else {}),
        'test_error_std': statistics.stdev(self._test_errors) if self._test_errors else None,
        'seeds_mode': self._setup.execution.mode,
        'wall_time_shared_by': len(seeds),
        'seeds': tuple(
            SeedResult(seed=seed, test_error=error, train=_rounded(scalars), **own)
            for seed, error, scalars, own in zip(seeds, errors, self._scalars, more, strict=True)
        ),
    }

  def _confused(self) -> list[dict[str, Any]]:
    """Return each seed's confusion matrix for a finished run, unless it is too large."""
    if not self._confusions or len(self._confusions[0]) > _MOST_CLASSES:
      return [{} for _ in self._seeds]
    return [{'confusion': one.tolist()} for one in self._confusions]

  def _validated(self) -> list[dict[str, Any]]:
    """Return each seed's entries of a finished run about validation; none without images."""
    if not self._validation_errors:
      return [{} for _ in self._seeds]
    return [
        {'validation_error': error, 'best': best and dataclasses.asdict(best)}
        for error, best in zip(self._validation_errors, self._kept.best, strict=True)
    ]


def _percents(measured: Sequence[Mapping[str, Any]]) -> list[float]:
  """Return each seed's error in percent."""
  return [100 * means['error'].value() for means in measured]


def _rounded(scalars: dict[str, float]) -> dict[str, float]:
  return {name: round(value, 6) for name, value in scalars.items()}


def _size(tree: Any) -> int:
  return sum(leaf.size for leaf in jax.tree.leaves(tree))
