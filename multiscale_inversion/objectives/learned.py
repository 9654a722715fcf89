"""Weights of losses that learn themselves (Section 4)."""

import dataclasses
from collections.abc import Callable
from typing import Annotated

import jax
import jax.numpy as jnp

from multiscale_inversion import losses, parallel
from multiscale_inversion.errors import UserError, check_options
from multiscale_inversion.objectives import paper
from multiscale_inversion.objectives.context import ContextTerm, Evaluation
from multiscale_inversion.objectives.objective import Objective, Reduction, per_log_classes
from multiscale_inversion.options import Amount, OneOf, ShareBelowOne, checked

# The options that each rule takes, with their defaults.
RULES = {'gradient': {'rate': 0.001}, 'speed': {'decay': 0.99, 'power': 1.0}}
LEAST = 1e-3


@dataclasses.dataclass(frozen=True)
class Rule:
  """How weights follow from the losses.

  Attributes:
    init: number of weights -> memory, whose entry `weights` has shape [K].
    update: (memory, batch means [K] of the losses) -> memory.
  """

  init: Callable[[int], dict[str, jax.Array]]
  update: Callable[[dict[str, jax.Array], jax.Array], dict[str, jax.Array]]


def gradient_rule(rate: float) -> Rule:
  """The gradient step of Section 4, beta <- beta - rate dL/dbeta, on weights of a constant sum.

  As dL/dbeta_k is the k-th loss, which is never negative, the step as it stands takes every weight
  below zero: the least objective is none. Here it is taken in the logarithms, and the weights are
  scaled to the sum K that they start with, the exponentiated gradient on the simplex (Kivinen and
  Warmuth, Information and Computation 132, 1997):

      beta_k <- K beta_k exp(-rate L_k) / sum_j beta_j exp(-rate L_j)

  They stay positive, at least `LEAST` before the last scaling, from where a weight comes back as
  soon as its loss is smaller than others. Only differences between losses move them: away from
  losses that stay large, to those that are small.

  Args:
    rate: of the weights, from 0 up; 0 keeps them.
  """

  def update(memory, means):
    logits = jnp.log(memory['weights']) - rate * means
    weights = jnp.maximum(means.size * jax.nn.softmax(logits), LEAST)
    return {'weights': means.size * weights / jnp.sum(weights)}

  return Rule(lambda count: {'weights': jnp.ones(count)}, update)


def speed_rule(decay: float, power: float) -> Rule:
  """Weights by running statistics, so that the losses fall at one speed.

  A loss that has kept more of its first value than others weighs more: with the running mean m_k
  of each loss, its first value l_k and the ratio q_k = m_k / l_k, beta_k is proportional to
  (q_k / mean of q)^power, with sum K: the relative inverse training rates of GradNorm (Chen et al.,
  ICML 2018, Section 3.2), taken for the weights themselves instead of the gradients' norms.

  Args:
    decay: of the running means, in [0, 1).
    power: how strongly speeds are evened out, from 0 (not at all) up.
  """

  def init(count):
    # Arrays of their own: a step takes over the buffers of its state, each once.
    return {
        'weights': jnp.ones(count),
        'first': jnp.zeros(count),
        'mean': jnp.zeros(count),
        'started': jnp.zeros(()),
    }

  def update(memory, means):
    started = memory['started'] > 0
    first = jnp.where(started, memory['first'], means)
    mean = jnp.where(started, decay * memory['mean'] + (1 - decay) * means, means)
    # A loss that begins at zero has nowhere to fall: its ratio is that of one that did not.
    ratio = jnp.where(first > 0, mean / jnp.where(first > 0, first, 1), 1)
    tiny = jnp.finfo(ratio.dtype).tiny
    relative = jnp.maximum(ratio / jnp.maximum(jnp.mean(ratio), tiny), tiny) ** power
    weights = means.size * relative / jnp.sum(relative)
    return {'weights': weights, 'first': first, 'mean': mean, 'started': jnp.ones(())}

  return Rule(init, update)


@checked
def learned(
    rule: Annotated[str, OneOf(RULES)] = 'gradient',
    rate: Amount = RULES['gradient']['rate'],
    decay: ShareBelowOne = RULES['speed']['decay'],
    power: Amount = RULES['speed']['power'],
    reduction: Reduction = 'batch',
    unlabeled: paper.Unlabeled = 'entropy',
    stop_target: bool = False,
    form: losses.Form = 'output',
) -> Objective:
  """The multiscale objective with weights beta_CE, beta_E, beta_R^(l) that learn (Section 4).

  They multiply the weights of `paper.multiscale` (1, 1 and 1/L for each layer), start at 1 and keep
  their sum. In each step they are updated by the losses of its batch before its gradient is taken:
  by Section 4's rule at the parameters Theta(t+1), of which the next batch's pass is the first.
  They are recorded as `weight/cross_entropy`, `weight/entropy` and `weight/reconstruction/l`.

  Args:
    rule: rule by which the weights learn, see `gradient_rule` and `speed_rule`.
    rate: learning rate of the weights, by the gradient rule.
    decay: share of the old value that the speed rule's running means keep.
    power: how strongly the speed rule evens out speeds; 0 is not at all.
    reduction: `batch` or `group`, see `labeled`.
    unlabeled: `entropy` only. Information is negative, and with no loss at all every weight would
      move to it.
    stop_target: see `paper.multiscale`.
    form: see `paper.multiscale`.

  Raises:
    UserError: for a value out of range, or an option of the other rule.
  """
  given = {'rate': rate, 'decay': decay, 'power': power}
  for other in RULES.keys() - {rule}:
    moved = [name for name, default in RULES[other].items() if given[name] != default]
    check_options(f'learned with rule={rule}', moved, RULES[rule])
  if unlabeled != 'entropy':
    # Both rules take losses that are never negative and fall from where they begin.
    raise UserError(f'{unlabeled}; allowed with learned: entropy', 'unlabeled')
  chosen = gradient_rule(rate) if rule == 'gradient' else speed_rule(decay, power)
  heads = [
      per_log_classes(paper.labeled_cross_entropy(reduction)),
      per_log_classes(paper.unlabeled_entropy(reduction, unlabeled)),
  ]

  def loss(inversion, labels, mask, context):
    layers = losses.layer_losses(inversion, form, stop_target)
    values = [head(inversion, labels, mask) for head in heads]
    values += [layer / len(layers) for layer in layers]
    means = parallel.mean_over_devices(jnp.mean(jnp.stack(values), axis=1))
    memory = chosen.update(context.memory, jax.lax.stop_gradient(means))
    weights = memory['weights']
    names = ['cross_entropy', 'entropy', *(f'reconstruction/{k}' for k in range(len(layers)))]
    scalars = {f'weight/{name}': weights[k] for k, name in enumerate(names)}
    total = sum(weights[k] * value for k, value in enumerate(values))
    return Evaluation(total, memory, scalars)

  term = ContextTerm(
      loss,
      init=lambda start: chosen.init(len(heads) + start.num_layers),
      update=lambda memory, news, variables: news,
      inverts=True,
      scheduled=True,
  )
  return Objective([(1.0, term)])
