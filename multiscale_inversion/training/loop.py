"""The training loop: many steps, on data that stay on the device or are streamed from the host."""

import abc
import math
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from multiscale_inversion import metrics, platforms
from multiscale_inversion.data.sampler import Sampler
from multiscale_inversion.execution import Execution
from multiscale_inversion.parallel import share
from multiscale_inversion.training.batch import Batch, TrainData, gather_batch, prepare_batch
from multiscale_inversion.training.state import Keys, LoopState, Metrics, TrainState
from multiscale_inversion.training.step import TrainingStep


def advance(
    training_step: TrainingStep, loop_state: LoopState, batch: Batch, dropout_key: jax.Array
) -> LoopState:
  """Do a training step, and add its metrics to the sums."""
  state, measured = training_step(loop_state.state, batch, dropout_key)
  return LoopState(state, metrics.add(loop_state.sums, measured))


class TrainingLoop(abc.ABC):
  """Training steps on a training set, for the devices and seeds of an execution.

  States are taken and returned as `Execution.compile` has them: with leading axes of devices and
  seeds, where there are several. However steps are grouped into calls, the result is the same bit
  for bit.

  Args:
    training_step: the step.
    sampler: which images a step takes; a batch's shares are multiples of the number of devices.
    data: the training set in the host's memory; with several seeds, its `labeled` and `unlabeled`
      have a leading axis of seeds.
    keys: the runs' random keys; with several seeds, they have that axis, too.
    execution: devices and seeds; one of each unless given.
  """

  def __init__(
      self,
      training_step: TrainingStep,
      sampler: Sampler,
      data: TrainData,
      keys: Keys,
      execution: Execution | None = None,
  ):
    execution = execution or Execution()
    self._training_step, self._sampler = training_step, sampler
    self._devices = execution.devices
    self._keys = self._devices.replicate(keys)
    self._compiled_steps = execution.compile(self._steps, num_own=3, donate=0)
    self._compiled_diagnosis = execution.compile(self._diagnosis, num_own=3)
    self._place(data, keys)

  @abc.abstractmethod
  def advance(self, loop_state: LoopState, count: int) -> LoopState:
    """Do `count` steps of one epoch; the buffers of `loop_state` are donated."""

  @abc.abstractmethod
  def diagnose(self, state: TrainState) -> Metrics:
    """Measure the reconstruction losses of the last step's batch.

    This is for objectives that do not invert, whose steps leave the reconstructions uncomputed.
    """

  @abc.abstractmethod
  def _steps(self, loop_state: LoopState, *data: Any) -> LoopState:
    """Do the steps of one call of the compiled program, for one seed on one device."""

  @abc.abstractmethod
  def _diagnosis(self, state: TrainState, *data: Any) -> Metrics:
    """Measure what `diagnose` returns, for one seed on one device."""

  @abc.abstractmethod
  def _place(self, data: TrainData, keys: Keys) -> None:
    """Put the training set where the steps take it from."""


class ResidentLoop(TrainingLoop):
  """The loop on data that stay on the device, many steps in one dispatch."""

  def _place(self, data, keys):
    self._image_shape = data.images.shape[1:]
    if self._devices.platform != platforms.CPU:
      data = data._replace(images=_rows(data.images))
    images, labels, *self._split = self._devices.replicate(data)
    self._images_and_labels = (images, labels)

  def advance(self, loop_state: LoopState, count: int) -> LoopState:
    """Do `count` steps of one epoch; the buffers of `loop_state` are donated.

    Their number is an argument of the compiled program, not a constant, so that there is one
    program for all numbers. (The length of `jax.lax.scan` is part of the program: it would compile
    again for the last group of an epoch.)
    """
    return self._compiled_steps(*self._arguments(loop_state, count))

  def lower(self, loop_state: LoopState) -> jax.stages.Lowered:
    """Lower the program of `advance` without running it, such as to count what it would take.

    Args:
      loop_state: a state as `advance` takes it, or the shapes of one.
    """
    return self._compiled_steps.lower(*self._arguments(loop_state, 1))

  def _arguments(self, loop_state: LoopState, count: int) -> tuple[Any, ...]:
    count = self._devices.replicate(np.int32(count))
    return (loop_state, self._split, self._keys, *self._images_and_labels, count)

  def diagnose(self, state: TrainState) -> Metrics:
    """See `TrainingLoop`."""
    return self._compiled_diagnosis(state, self._split, self._keys, *self._images_and_labels)

  def _steps(self, loop_state: LoopState, *data: Any) -> LoopState:
    split, keys, images, labels, count = data
    train_data = TrainData(images, labels, *split)
    epoch = loop_state.state.step // self._sampler.steps_per_epoch
    labeled, unlabeled = self._sampler.epoch(keys.sampling, epoch)

    def body(_, loop_state):
      index = loop_state.state.step % self._sampler.steps_per_epoch
      batch = self._gather(train_data, labeled[index], unlabeled[index])
      return advance(self._training_step, loop_state, batch, keys.dropout)

    return jax.lax.fori_loop(0, count, body, loop_state)

  def _diagnosis(self, state: TrainState, *data: Any) -> Metrics:
    split, keys, images, labels = data
    step = jnp.maximum(state.step - 1, 0)
    labeled, unlabeled = self._sampler.batch(keys.sampling, step)
    batch = self._gather(TrainData(images, labels, *split), labeled, unlabeled)
    return self._training_step.reconstruction_metrics(state, batch, keys.dropout)

  def _gather(self, data: TrainData, labeled: jax.Array, unlabeled: jax.Array) -> Batch:
    return gather_batch(data, share(labeled), share(unlabeled), self._image_shape)


def _rows(images: Any) -> Any:
  """Return images, or their shapes, with one axis beside the first.

  A TPU tiles the last two axes of an array, in whose place a copy of all images of few channels
  takes four times their memory: its compiler makes one in each call of the loop.
  """
  shape = (images.shape[0], math.prod(images.shape[1:]))
  if isinstance(images, jax.ShapeDtypeStruct):
    return jax.ShapeDtypeStruct(shape, images.dtype)
  return images.reshape(shape)


class StreamedLoop(TrainingLoop):
  """The loop on batches that are gathered on the host while earlier steps run; of one seed."""

  def _place(self, data, keys):
    self._data, self._sampling_key = data, keys.sampling
    self._batches: Iterator | None = None
    self._last_step, self._last_batch = -1, None

  def advance(self, loop_state: LoopState, count: int) -> LoopState:
    """See `TrainingLoop`; each step is a dispatch of its own."""
    first = self._steps_done(loop_state.state)
    for step in range(first, first + count):
      loop_state = self._compiled_steps(loop_state, self._batch(step), self._keys)
    return loop_state

  def diagnose(self, state: TrainState) -> Metrics:
    """See `TrainingLoop`."""
    batch = self._batch(max(self._steps_done(state) - 1, 0))
    return self._compiled_diagnosis(state, batch, self._keys)

  def _steps(self, loop_state: LoopState, *data: Any) -> LoopState:
    raw, keys = data
    return advance(self._training_step, loop_state, prepare_batch(raw), keys.dropout)

  def _diagnosis(self, state: TrainState, *data: Any) -> Metrics:
    raw, keys = data
    batch = prepare_batch(raw)
    return self._training_step.reconstruction_metrics(state, batch, keys.dropout)

  def _steps_done(self, state: TrainState) -> int:
    return int(self._devices.first(state.step))

  def _batch(self, step: int):
    """Return a step's raw batch on the devices; gathered ahead as long as steps come in order."""
    if step != self._last_step:
      if self._batches is None or step != self._last_step + 1:
        self._batches = self._stream(step)
      self._last_batch, self._last_step = self._devices.scatter(next(self._batches)), step
    return self._last_batch

  def _stream(self, first_step: int) -> Iterator:
    from multiscale_inversion.data.streaming import stream  # noqa: PLC0415 (it loads Grain)

    images, labels, labeled, unlabeled = self._data
    return stream(
        images,
        labels,
        labeled,
        unlabeled,
        self._sampler,
        self._sampling_key,
        self._training_step.num_steps,
        first_step,
        self._devices.count,
    )
