"""What a loss may know beside an inversion: other passes, the time, a memory of its own."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from multiscale_inversion.inversion.stages import Inversion

Augment = Callable[[jax.Array, jax.Array], jax.Array]  # (key, images) -> images of the same shape
Variables = dict[str, Any]  # `params` and `batch_stats`


class Context(NamedTuple):
  """The surroundings of a training step.

  Attributes:
    images: the batch's observations, normalized, before any augmentation, shape [N, ...].
    positions: where they are in the training set, int32, shape [N].
    inputs: what the network saw, z^(0): `images`, weakly augmented.
    step: steps done, an int32 scalar.
    progress: the share of the training that is done, a float32 scalar in [0, 1).
    key: random key of this term in this step; another one on each device.
    variables: `params`, which are being differentiated, and `batch_stats` before the step.
    forward: (variables, images, key) -> (logits [N, C], batch_stats): another training pass, with
      the statistics of its own batch (on several devices, of all shares) and dropout by the key.
      `batch_stats` are the variables' own, moved by this pass. The trained network's stay those of
      the main pass.
    weak, strong: augmentations (key, images) -> images.
    memory: the term's own, see `ContextTerm`.
  """

  images: jax.Array
  positions: jax.Array
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
    """Logits of another training pass of the network that is trained."""
    logits, _ = self.forward(self.variables, images, key)
    return logits

  @property
  def params(self) -> Any:
    """The parameters that are being differentiated."""
    return self.variables['params']


class Start(NamedTuple):
  """What a term's memory is made from, before the first step.

  Attributes:
    variables: the network's initial `params` and `batch_stats`; `{}` where it has no statistics.
    num_train: size of the training set.
    num_classes: C.
    num_layers: L.
  """

  variables: Variables
  num_train: int
  num_classes: int
  num_layers: int

  @property
  def params(self) -> Any:
    """The network's initial parameters."""
    return self.variables['params']


class Evaluation(NamedTuple):
  """What a term makes of a batch.

  Attributes:
    values: the loss per observation, shape [N].
    news: what `ContextTerm.update` takes; any tree of arrays.
    scalars: what is recorded with the step's metrics, by name; of several devices, their mean.
  """

  values: jax.Array
  news: Any = None
  scalars: dict[str, jax.Array] | None = None


def _keep(memory: Any, news: Any, variables: Variables) -> Any:
  del news, variables
  return memory


@dataclasses.dataclass(frozen=True)
class ContextTerm:
  """A loss that reads more than one inversion.

  On several devices `loss` is evaluated on each one's share of the batch, and memories must stay
  the same on all: sum or gather what they are made of (`parallel.sum_over_devices`,
  `parallel.gather_over_devices`).

  Attributes:
    loss: (inversion, labels, mask, context) -> `Evaluation`.
    init: `Start` -> memory, a tree of arrays that is part of the train state; None for none.
    update: (memory, news, variables after the step) -> memory.
    averaged: memory -> the variables to evaluate in place of the trained ones: `params` and, of a
      network that has some, `batch_stats` that belong to these parameters. It picks them from the
      memory, whose arrays may have leading axes of devices and seeds. None for none.
    inverts: whether it reads reconstructions.
    scheduled: whether its value changes with the progress by itself, as by weights that learn.
  """

  loss: Callable[[Inversion, jax.Array, jax.Array, Context], Evaluation]
  init: Callable[[Start], Any] | None = None
  update: Callable[[Any, Any, Variables], Any] = _keep
  averaged: Callable[[Any], Variables] | None = None
  inverts: bool = False
  scheduled: bool = False
