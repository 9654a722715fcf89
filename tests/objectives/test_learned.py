"""Weights that learn: their rules and the weighted sum, against PyTorch and by hand."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from multiscale_inversion import UserError, objectives
from multiscale_inversion.inversion.stages import Inversion
from multiscale_inversion.objectives import InitialContext, learned

pytest.importorskip('torch', reason='PyTorch, the independent oracle, is not installed')
import baselines_oracle as oracle
import test_objective as common
import torch

pytestmark = pytest.mark.usefixtures('float64')


def step(rule, losses, memory=None):
  memory = rule.init(len(losses)) if memory is None else memory
  return rule.update(memory, jnp.asarray(losses))


def test_gradient_rule():
  rule, beta = learned.gradient_rule(0.3), torch.ones(4, dtype=torch.float64)
  memory = rule.init(4)
  for losses in ([1.0, 0, 2, 5], [0.5, 0.5, 0, 9], [3.0, 3, 3, 3]):
    memory = step(rule, losses, memory)
    beta = oracle.weight_gradient_rule(beta, torch.tensor(losses, dtype=torch.float64), 0.3)
    np.testing.assert_allclose(memory['weights'], beta.numpy(), rtol=1e-9)
  assert float(jnp.sum(memory['weights'])) == pytest.approx(4)


def test_gradient_rule_has_no_way_out_at_zero():
  """However long and however large the losses: positive weights of the same sum."""
  rule = learned.gradient_rule(1.0)
  memory = rule.init(3)
  for _ in range(200):
    memory = step(rule, [50.0, 1.0, 30.0], memory)
  assert float(jnp.sum(memory['weights'])) == pytest.approx(3)
  np.testing.assert_allclose(memory['weights'], [1e-3, 3, 1e-3], rtol=1e-3)
  for _ in range(10):
    memory = step(rule, [0.0, 1.0, 1.0], memory)
  assert memory['weights'][0] > 2


def test_speed_rule():
  rule, decay = learned.speed_rule(0.9, 1.5), 0.9
  memory = rule.init(3)
  first = mean = None
  for losses in ([4.0, 2, 1], [2.0, 2, 1], [1.0, 2, 0.9]):
    memory = step(rule, losses, memory)
    now = np.array(losses)
    first = now if first is None else first
    mean = now if mean is None else decay * mean + (1 - decay) * now
    expected = oracle.uniform_speed(torch.tensor(mean), torch.tensor(first), 1.5)
    np.testing.assert_allclose(memory['weights'], expected.numpy(), rtol=1e-9)
  # The loss that fell fastest weighs least.
  assert np.argmin(memory['weights']) == 0 and np.argmax(memory['weights']) == 1


def test_speed_rule_with_losses_that_are_zero():
  rule = learned.speed_rule(0.9, 1.0)
  memory = step(rule, [0.0, 1.0, 0.0])
  memory = step(rule, [0.0, 0.5, 2.0], memory)
  assert np.all(np.isfinite(memory['weights']))
  assert float(jnp.sum(memory['weights'])) == pytest.approx(3)


def evaluate(logits, memory, **options):
  x = jnp.arange(8.0).reshape(4, 2) / 10
  hidden = jnp.arange(12.0).reshape(4, 3) / 5
  inversion = Inversion((x, hidden, logits), (x / 2, hidden / 4), (None, None))
  objective = objectives.create('learned', **options)
  return objective, objective.evaluate(
    inversion, common.LABELS, jnp.asarray(common.MASK), common.context(memory=memory)
  )


def by_hand(logits):
  """The batch means of CE and E over log(C), and of each layer's loss over L = 2."""
  log_p = np.log(np.exp(logits) / np.exp(logits).sum(1, keepdims=True))
  ce = np.array([-log_p[0, 0], -log_p[1, 2], 0, 0]) / np.log(3)
  entropy = np.array([0, 0, *-(np.exp(log_p) * log_p).sum(1)[2:]]) / np.log(3)
  x, hidden = np.arange(8).reshape(4, 2) / 10, np.arange(12).reshape(4, 3) / 5
  layers = [np.mean((x / 2) ** 2, 1) / 2, np.mean((0.75 * hidden) ** 2, 1) / 2]
  return np.stack([ce, entropy, *layers])


def test_weighted_sum_and_record():
  memory = {'0': {'weights': jnp.array([1.0, 0.5, 2, 0.5])}}
  objective, found = evaluate(jnp.asarray(common.LOGITS), memory, rate=0.7)
  values = by_hand(common.LOGITS)
  weights = oracle.weight_gradient_rule(
    torch.tensor([1.0, 0.5, 2, 0.5], dtype=torch.float64), torch.tensor(values.mean(1)), 0.7
  ).numpy()
  np.testing.assert_allclose(found.values, weights @ values, rtol=1e-9)
  names = ['cross_entropy', 'entropy', 'reconstruction/0', 'reconstruction/1']
  assert {name: float(value) for name, value in found.scalars.items()} == {
    f'weight/{name}': pytest.approx(weight, rel=1e-9)
    for name, weight in zip(names, weights, strict=True)
  }
  after = objective.update(memory, found.to_remember, {})
  np.testing.assert_allclose(after['0']['weights'], weights, rtol=1e-9)


def test_the_gradient_takes_the_weights_as_given():
  memory = {'0': {'weights': jnp.ones(4)}}
  logits = jnp.asarray(common.LOGITS)
  mean = lambda z: jnp.mean(evaluate(z, memory, rate=0.7)[1].values)
  found = evaluate(logits, memory, rate=0.7)[1]
  weights = np.array([float(value) for value in found.scalars.values()])

  def fixed(logits):
    return (weights @ by_hand(logits)).mean()

  expected = np.zeros(logits.shape)
  for index in np.ndindex(*logits.shape):
    change = np.zeros(logits.shape)
    change[index] = 1e-6
    expected[index] = (fixed(common.LOGITS + change) - fixed(common.LOGITS - change)) / 2e-6
  np.testing.assert_allclose(jax.grad(mean)(logits), expected, atol=1e-9)


def test_starts_at_one_for_each_loss():
  for rule in objectives.RULES:
    memory = objectives.create('learned', rule=rule).init(InitialContext({}, 1, 3, 5))
    np.testing.assert_array_equal(memory['0']['weights'], np.ones(7))


def test_its_loss_is_no_sign_of_divergence():
  """It may rise while each of the losses falls, as their weights change."""
  assert objectives.create('learned').scheduled
  assert not objectives.create('multiscale').scheduled


@pytest.mark.parametrize(('options', 'message'), [
  ({'rule': 'speed', 'rate': 0.1},
   'rate: not an option of learned with rule=speed; allowed: decay, power'),
  ({'rule': 'gradient', 'power': 2.0},
   'power: not an option of learned with rule=gradient; allowed: rate'),
])
def test_refuses_the_other_rules_options(options, message):
  with pytest.raises(UserError, match=re.escape(message)):
    objectives.create('learned', **options)
