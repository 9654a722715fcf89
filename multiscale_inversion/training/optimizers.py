"""The optimizers by optax's names, with weight decay, clipping and accumulated gradients.

Weight decay is for kernels: parameters of one axis, biases and batch norm's scales, have none.
"""

from collections.abc import Callable
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import optax

from multiscale_inversion.errors import check_whole
from multiscale_inversion.options import Amount, Range, ShareBelowOne
from multiscale_inversion.registry import Registry

_EPSILON = Annotated[float, Range(1e-30, 1)]


def _is_kernel(params: Any) -> Any:
  """Return for each parameter whether it has several axes."""
  return jax.tree.map(lambda leaf: jnp.ndim(leaf) > 1, params)


def adam(
    learning_rate: optax.Schedule,
    b1: ShareBelowOne = 0.9,
    b2: ShareBelowOne = 0.999,
    eps: _EPSILON = 1e-8,
) -> optax.GradientTransformation:
  """Return Adam (Kingma and Ba, arXiv:1412.6980), the paper's optimizer.

  Args:
    learning_rate: by the step.
    b1: decay of the mean of gradients.
    b2: decay of the mean of their squares.
    eps: added to the root of the latter.
  """
  return optax.adam(learning_rate, b1, b2, eps)


def adamw(
    learning_rate: optax.Schedule,
    b1: ShareBelowOne = 0.9,
    b2: ShareBelowOne = 0.999,
    eps: _EPSILON = 1e-8,
    weight_decay: Amount = 1e-4,
) -> optax.GradientTransformation:
  """Return Adam with decoupled weight decay (Loshchilov and Hutter, arXiv:1711.05101).

  Args:
    learning_rate: by the step.
    b1: decay of the mean of gradients.
    b2: decay of the mean of their squares.
    eps: added to the root of the latter.
    weight_decay: share of a kernel that a step subtracts, times the learning rate.
  """
  return optax.adamw(learning_rate, b1, b2, eps, weight_decay=weight_decay, mask=_is_kernel)


def sgd(
    learning_rate: optax.Schedule,
    momentum: ShareBelowOne = 0.9,
    nesterov: bool = False,
    weight_decay: Amount = 0.0,
) -> optax.GradientTransformation:
  """Return stochastic gradient descent with momentum (Sutskever et al., ICML 2013).

  Args:
    learning_rate: by the step.
    momentum: decay of the sum of gradients; 0 for none.
    nesterov: whether the momentum is Nesterov's.
    weight_decay: weight of a kernel's half squared norm in the loss.
  """
  descent = optax.sgd(learning_rate, momentum or None, nesterov)
  if not weight_decay:
    return descent
  return optax.chain(optax.add_decayed_weights(weight_decay, _is_kernel), descent)


def lion(
    learning_rate: optax.Schedule,
    b1: ShareBelowOne = 0.9,
    b2: ShareBelowOne = 0.99,
    weight_decay: Amount = 1e-3,
) -> optax.GradientTransformation:
  """Return Lion (Chen et al., arXiv:2302.06675).

  Args:
    learning_rate: by the step; a third to a tenth of Adam's.
    b1: share of the mean in the sum whose sign is the step.
    b2: decay of the mean of gradients.
    weight_decay: as in `adamw`.
  """
  return optax.lion(learning_rate, b1, b2, weight_decay=weight_decay, mask=_is_kernel)


_OPTIMIZERS: Registry[optax.GradientTransformation] = Registry(
    {'adam': adam, 'adamw': adamw, 'sgd': sgd, 'lion': lion},
    positional=1,  # the learning rate
    reserved=('name', 'clip_norm', 'accumulate_steps', 'average_decay'),
    kind='the optimizer',
)
names, options, defaults = _OPTIMIZERS.names, _OPTIMIZERS.options, _OPTIMIZERS.defaults
register: Callable[..., None] = _OPTIMIZERS.register


def create(
    name: str,
    schedule: optax.Schedule,
    clip_norm: float | None = None,
    accumulate_steps: int = 1,
    **options: Any,
) -> optax.GradientTransformation:
  """Return an optimizer by its name.

  Args:
    name: one of `names()`.
    schedule: the learning rate by the number of training steps done.
    clip_norm: largest Euclidean norm of all gradients together; larger ones are scaled to it
      (Pascanu et al., arXiv:1211.5063). None leaves them as they are.
    accumulate_steps: number of training steps whose mean gradient makes one step of the optimizer,
      with the learning rate of the last of them.
    **options: of `options(name)`.

  Raises:
    UserError: for an unknown name or option, or a value out of range.
  """
  check_whole('accumulate_steps', accumulate_steps, 1)
  by_update = schedule
  if accumulate_steps > 1:
    by_update = lambda count: schedule((count + 1) * accumulate_steps - 1)
  made = _OPTIMIZERS.create(name, by_update, **options)
  if clip_norm is not None:
    made = optax.chain(optax.clip_by_global_norm(clip_norm), made)
  if accumulate_steps == 1:
    return made
  return optax.MultiSteps(made, accumulate_steps).gradient_transformation()
