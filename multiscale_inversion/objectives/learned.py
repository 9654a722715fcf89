"""The multiscale objective with weights that are learned (Section 4)."""

import dataclasses
import functools
import operator
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import jax
import jax.numpy as jnp

from multiscale_inversion import losses, parallel
from multiscale_inversion.errors import UserError, check_options
from multiscale_inversion.objectives import paper
from multiscale_inversion.objectives.context import ContextTerm, LossOutput
from multiscale_inversion.objectives.objective import Objective, Reduction, per_log_classes
from multiscale_inversion.options import Amount, OneOf, ShareBelowOne, checked

# The options that each rule takes, with their defaults.
RULES = {'gradient': {'rate': 0.001}, 'speed': {'decay': 0.99, 'power': 1.0}}
LEAST = 1e-3


@dataclasses.dataclass(frozen=True)
class Rule:
  """How the weights of K losses follow from their values.

  Attributes:
    init: K -> memory, whose entry `weights` has shape [K].
    update: (memory, batch means of the losses, shape [K]) -> memory.
  """

  init: Callable[[int], dict[str, jax.Array]]
  update: Callable[[dict[str, jax.Array], jax.Array], dict[str, jax.Array]]


def gradient_rule(rate: float) -> Rule:
  """Return Section 4's gradient step, beta <- beta - rate dL/dbeta, with a constant sum of weights.

  As dL/dbeta_k is the k-th loss, which is never negative, the step as it stands takes every weight
  below zero: the objective is least without a bound. Here the step is taken in the logarithms, and
  the weights are rescaled to the sum K that they start with. This is the exponentiated gradient on
  the simplex (Kivinen and Warmuth, Information and Computation 132, 1997):

      beta_k <- K beta_k exp(-rate L_k) / sum_j beta_j exp(-rate L_j)

  The weights stay positive, at least `LEAST` before the last rescaling, so that a weight recovers
  as soon as its loss is smaller than others. Only differences between losses move weights, from
  losses that stay large to losses that are small.

  Args:
    rate: learning rate of the weights, from 0 up; 0 keeps them.
  """

  def update(memory, means):
    logits = jnp.log(memory['weights']) - rate * means
    weights = jnp.maximum(means.size * jax.nn.softmax(logits), LEAST)
    return {'weights': means.size * weights / jnp.sum(weights)}

  return Rule(lambda count: {'weights': jnp.ones(count)}, update)


def speed_rule(decay: float, power: float) -> Rule:
  """Return a rule that lets all losses fall at the same speed.

  A loss that has kept more of its first value than others gets more weight. With the running mean
  m_k of each loss, its first value l_k and the ratio q_k = m_k / l_k, beta_k is proportional to
  (q_k / mean of q)^power, and the sum is K. These are the relative inverse training rates of
  GradNorm (Chen et al., ICML 2018, Section 3.2), applied to the weights themselves instead of the
  gradients' norms.

  Args:
    decay: decay of the running means, in [0, 1).
    power: how strongly speeds are evened out, from 0 (not at all) up.
  """

  def init(count):
    # Separate arrays, as a step donates each buffer of its state once.
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
    # A loss that begins at zero cannot fall: it counts as one that has not fallen.
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
  """Return the multiscale objective with learned weights beta_CE, beta_E, beta_R^(l) (Section 4).

  The weights multiply those of `paper.multiscale` (1, 1 and 1/L for each layer), start at 1 and
  keep their sum. Each step updates them by the losses of its batch before it takes the gradient.
  Section 4's rule uses the losses at the parameters Theta(t+1), first known in the next batch's
  pass. The weights are recorded as `weight/cross_entropy` and so on.

  Args:
    rule: rule by which the weights learn, see `gradient_rule` and `speed_rule`.
    rate: learning rate of the weights, for the gradient rule.
    decay: share of the old value that the speed rule's running means keep.
    power: exponent of the speed rule.
    reduction: over which observations a loss is averaged, see `paper.multiscale`.
    unlabeled: only `entropy`; information is negative, and `none` would get all the weight.
    stop_target: see `paper.multiscale`.
    form: see `paper.multiscale`.

  Raises:
    UserError: if a value is out of range, or an option belongs to the other rule.
  """
  _check_rule(rule, {'rate': rate, 'decay': decay, 'power': power})
  if unlabeled != 'entropy':
    # Both rules need losses that are never negative and can fall from their first value.
    raise UserError(f'{unlabeled}; allowed with learned: entropy', 'unlabeled')
  chosen = gradient_rule(rate) if rule == 'gradient' else speed_rule(decay, power)
  heads: list[Any] = [  # losses, as their terms are
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
    total = functools.reduce(operator.add, [weights[k] * v for k, v in enumerate(values)])
    return LossOutput(total, memory, scalars)

  term = ContextTerm(
      loss,
      init=lambda initial: chosen.init(len(heads) + initial.num_layers),
      update=lambda memory, to_remember, variables: to_remember,
      inverts=True,
      scheduled=True,
  )
  return Objective([(1.0, term)])


def _check_rule(rule: str, given: Mapping[str, float]) -> None:
  """Check that options which differ from their defaults belong to the rule."""
  for other in RULES.keys() - {rule}:
    moved = [name for name, default in RULES[other].items() if given[name] != default]
    check_options(f'learned with rule={rule}', moved, RULES[rule])
