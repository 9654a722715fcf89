"""Losses that need more than one inversion: other passes, the progress, a memory of their own."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from multiscale_inversion.inversion.stages import Inversion

Augment = Callable[[jax.Array, jax.Array], jax.Array]  # (key, images) -> images of the same shape
Variables = dict[str, Any]  # `params` and `batch_stats`


class Context(NamedTuple):
  """What a `ContextTerm` is given in a training step, beside the inversion.

  Attributes:
    images: the batch's observations, normalized, before any augmentation, shape [N, ...].
    positions: indices of the observations in the training set, int32, shape [N];
      None if the batch does not say.
    inputs: what the network saw, z^(0): `images`, weakly augmented.
    step: number of steps done, an int32 scalar.
    progress: the share of the training that is done, a float32 scalar in [0, 1).
    key: the term's random key in this step; each device has its own.
    variables: `params`, which are being differentiated, and `batch_stats` before the step.
    forward: (variables, images, key) -> (logits [N, C], batch_stats): another training pass, with
      the statistics of its own batch (on several devices, of all shares) and dropout by the key.
      It returns the given variables' `batch_stats` as this pass has moved them. The statistics of
      the trained network are moved by the main pass alone.
    weak: an augmentation (key, images) -> images, that of `inputs`.
    strong: a second augmentation, for terms that compare two.
    memory: the term's own memory, see `ContextTerm`.
  """

  images: jax.Array
  positions: jax.Array | None
  inputs: jax.Array
  step: jax.Array
  progress: jax.Array
  key: jax.Array
  variables: Variables
  forward: Callable[[Variables, jax.Array, jax.Array], tuple[jax.Array, Any]]
  weak: Augment
  strong: Augment
  memory: Any = None

  def predict(self, images: jax.Array, key: jax.Array) -> jax.Array:
    """Return the logits of another training pass of the trained network."""
    logits, _ = self.forward(self.variables, images, key)
    return logits

  @property
  def params(self) -> Any:
    """The parameters that are being differentiated."""
    return self.variables['params']


class InitialContext(NamedTuple):
  """What a `ContextTerm` makes its memory from, before the first step.

  Attributes:
    variables: the network's initial `params` and `batch_stats`; the latter are `{}` if it has no
      statistics.
    num_train: size of the training set.
    num_classes: C.
    num_layers: L.
    num_unlabeled: size of the unlabeled set D_u; 0 if it is not said.
  """

  variables: Variables
  num_train: int
  num_classes: int
  num_layers: int
  num_unlabeled: int = 0

  @property
  def params(self) -> Any:
    """The network's initial parameters."""
    return self.variables['params']


class LossOutput(NamedTuple):
  """What a `ContextTerm` computes from a batch.

  Attributes:
    values: the loss per observation, shape [N]; the caller reduces.
    to_remember: what `ContextTerm.update` gets to change the memory, any tree of arrays.
    scalars: values to record with the step's metrics, by name; on several devices, their mean is
      recorded.
  """

  values: jax.Array
  to_remember: Any = None
  scalars: dict[str, jax.Array] | None = None


def _keep(memory: Any, to_remember: Any, variables: Variables) -> Any:
  del to_remember, variables
  return memory


@dataclasses.dataclass(frozen=True)
class ContextTerm:
  """A loss that reads a `Context`, and may have a memory.

  On several devices, `loss` gets each device's share of the batch, and the memory must stay the
  same on all: sum or gather what it is made of (`parallel.sum_over_devices`,
  `parallel.gather_over_devices`).

  Attributes:
    loss: (inversion, labels, mask, context) -> `LossOutput`.
    init: `InitialContext` -> memory, a tree of arrays that is part of the train state; None for a
      term without memory.
    update: (memory, to_remember, variables after the step) -> memory.
    averaged: memory -> the variables to evaluate in place of the trained ones: `params` and, if the
      network has some, the `batch_stats` that belong to these parameters. It only picks them from
      the memory, whose arrays may have leading axes of devices and seeds. None to evaluate the
      trained variables.
    inverts: whether the loss reads reconstructions.
    scheduled: whether the loss changes with the progress by itself, such as by weights that learn.
  """

  loss: Callable[[Inversion, jax.Array, jax.Array, Context], LossOutput]
  init: Callable[[InitialContext], Any] | None = None
  update: Callable[[Any, Any, Variables], Any] = _keep
  averaged: Callable[[Any], Variables] | None = None
  inverts: bool = False
  scheduled: bool = False
