"""Optimizers and schedules against their equations in NumPy float64, and through a run."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from multiscale_inversion.errors import UserError
from multiscale_inversion.runs import build, defaults
from multiscale_inversion.runs import loop as run
from multiscale_inversion.training import optimizers, schedules
from tests import tiny

RATE = 0.1
STEPS = 12
RANDOM = np.random.RandomState(0)
# A kernel and a bias, and the gradients of each step.
PARAMS = {'kernel': RANDOM.randn(3, 2), 'bias': RANDOM.randn(2)}
GRADIENTS = [{name: RANDOM.randn(*value.shape) for name, value in PARAMS.items()}
             for _ in range(STEPS)]


def rate_at(step):
  """A rate that tells steps apart."""
  return RATE / (1 + step)


def of_library(name, gradients=GRADIENTS, **options):
  """The parameters after each step."""
  optimizer = optimizers.create(name, lambda step: RATE / (1 + step), **options)
  params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), PARAMS)
  state, found = optimizer.init(params), []
  update = jax.jit(optimizer.update)
  for gradient in gradients:
    given = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), gradient)
    changes, state = update(given, state, params)
    params = jax.tree.map(jnp.add, params, changes)
    found.append(jax.device_get(params))
  return found


def by_hand(rule, gradients=GRADIENTS):
  """The parameters after each step of a rule (step, parameter, gradient, memory) -> parameter."""
  params, found = dict(PARAMS), []
  memories = {name: {} for name in params}
  for step, gradient in enumerate(gradients):
    params = {
      name: rule(step, params[name], gradient[name], memories[name]) for name in params
    }
    found.append(params)
  return found


def check(found, wanted):
  for one, other in zip(found, wanted, strict=True):
    for name in PARAMS:
      np.testing.assert_allclose(one[name], other[name], rtol=2e-5, atol=2e-6)


def adam_rule(weight_decay=0.0, b1=0.9, b2=0.999, eps=1e-8):
  def rule(step, w, g, memory):
    memory['m'] = b1 * memory.get('m', 0) + (1 - b1) * g
    memory['v'] = b2 * memory.get('v', 0) + (1 - b2) * g**2
    m, v = memory['m'] / (1 - b1 ** (step + 1)), memory['v'] / (1 - b2 ** (step + 1))
    decay = weight_decay * w if w.ndim > 1 else 0
    return w - rate_at(step) * (m / (np.sqrt(v) + eps) + decay)

  return rule


def sgd_rule(momentum, nesterov=False, weight_decay=0.0):
  def rule(step, w, g, memory):
    g = g + (weight_decay * w if w.ndim > 1 else 0)
    memory['b'] = momentum * memory.get('b', 0) + g
    return w - rate_at(step) * (g + momentum * memory['b'] if nesterov else memory['b'])

  return rule


def lion_rule(weight_decay, b1=0.9, b2=0.99):
  def rule(step, w, g, memory):
    m = memory.get('m', np.zeros_like(w))
    memory['m'] = b2 * m + (1 - b2) * g
    decay = weight_decay * w if w.ndim > 1 else 0
    return w - rate_at(step) * (np.sign(b1 * m + (1 - b1) * g) + decay)

  return rule


@pytest.mark.parametrize(('name', 'options', 'rule'), [
  ('adam', {}, adam_rule()),
  ('adam', {'b1': 0.5, 'b2': 0.9, 'eps': 0.1}, adam_rule(0, 0.5, 0.9, 0.1)),
  ('adamw', {}, adam_rule(1e-4)),
  ('adamw', {'weight_decay': 0.3}, adam_rule(0.3)),
  ('sgd', {}, sgd_rule(0.9)),
  ('sgd', {'momentum': 0.0}, sgd_rule(0.0)),
  ('sgd', {'nesterov': True, 'momentum': 0.8}, sgd_rule(0.8, True)),
  ('sgd', {'weight_decay': 0.2}, sgd_rule(0.9, weight_decay=0.2)),
  ('lion', {}, lion_rule(1e-3)),
  ('lion', {'weight_decay': 0.2, 'b1': 0.8}, lion_rule(0.2, 0.8)),
])
def test_equations(name, options, rule):
  check(of_library(name, **options), by_hand(rule))


def test_clipping_is_by_the_norm_of_all():
  limit = 2.5
  clipped = []
  for gradient in GRADIENTS:
    norm = math.sqrt(sum(float(np.sum(leaf**2)) for leaf in gradient.values()))
    factor = min(1, limit / norm)
    clipped.append({name: factor * leaf for name, leaf in gradient.items()})
  norms = [math.sqrt(sum(float(np.sum(g**2)) for g in one.values())) for one in GRADIENTS]
  assert min(norms) < limit < max(norms)
  check(of_library('sgd', clip_norm=limit), by_hand(sgd_rule(0.9), clipped))


def test_accumulated_gradients_are_one_of_their_mean():
  count = 3
  groups = [GRADIENTS[start:start + count] for start in range(0, STEPS, count)]
  means = [
    {name: np.mean([one[name] for one in group], axis=0) for name in PARAMS} for group in groups
  ]
  rule = sgd_rule(0.9)
  # The rate is that of a group's last step.
  wanted = by_hand(
    lambda update, w, g, memory: rule(update * count + count - 1, w, g, memory), means
  )
  found = of_library('sgd', accumulate_steps=count)
  check(found[count - 1 :: count], wanted)
  for name, value in PARAMS.items():  # nothing moves between
    np.testing.assert_array_equal(found[0][name], value.astype(np.float32))
    np.testing.assert_array_equal(found[count - 1][name], found[count][name])


# Schedules.


@pytest.mark.parametrize(('name', 'options', 'rate'), [
  ('constant', {}, lambda t: 1.0),
  ('cosine', {}, lambda t: (1 + math.cos(math.pi * t)) / 2),
  ('cosine', {'final_factor': 0.2}, lambda t: 0.2 + 0.8 * (1 + math.cos(math.pi * t)) / 2),
  ('cosine_7_16', {}, lambda t: math.cos(7 * math.pi * t / 16)),
  ('steps', {}, lambda t: 1.0 if t < 0.375 else 0.5 if t < 0.75 else 0.25),
])
@pytest.mark.parametrize('warmup', [0, 1, 5])
def test_schedules(name, options, rate, warmup):
  schedule = schedules.with_warmup(
    schedules.create(name, 0.3, 80, schedules.Decays(), **options), warmup
  )
  for step in range(80):
    rising = min(1, (step + 1) / warmup) if warmup else 1
    wanted = 0.3 * rate(step / 80) * rising
    assert float(schedule(step)) == pytest.approx(wanted, rel=1e-5, abs=1e-7), step
    assert float(jax.jit(schedule)(jnp.int32(step))) == pytest.approx(wanted, rel=1e-5, abs=1e-7)


# A run.


def test_a_run_takes_them_and_records_the_rate(tmp_path, quick_compilation):
  config = tiny.config(**{
    'num_steps': 8, 'learning_rate': 0.01, 'optimizer.name': 'sgd', 'optimizer.clip_norm': 1.0,
    'optimizer.accumulate_steps': 2, 'schedule.name': 'cosine', 'schedule.warmup_steps': 4,
    'log_every_steps': 1,
  })
  config.optimizer.nesterov, config.schedule.final_factor = True, 0.5
  finished = run.train_and_evaluate(config, str(tmp_path))
  section = finished.config['optimizer']
  assert (section['momentum'], section['weight_decay']) == (0.9, 0.0)
  assert finished.config['schedule'] == {
    'name': 'cosine', 'warmup_steps': 4, 'rampup': 0.0, 'rampdown': 0.0, 'final_factor': 0.5,
  }
  rates = [json.loads(line)['train/learning_rate'] for line in (tmp_path / 'metrics.jsonl').open()]
  wanted = [
    0.01 * min(1, (step + 1) / 4) * (0.5 + 0.25 * (1 + math.cos(math.pi * step / 8)))
    for step in range(8)
  ]
  assert rates == pytest.approx(wanted, rel=1e-5)


def test_the_default_is_the_papers():
  config = defaults.get_config()
  assert (config.optimizer.name, config.schedule.name) == ('adam', 'steps')
  schedule = build.create_schedule(config, 400)
  assert [float(schedule(s)) for s in (0, 149, 150, 300)] == pytest.approx(
    [0.002, 0.002, 0.001, 0.0005]
  )
  optimizer = build.create_optimizer(config, schedule)
  params = {'w': jnp.ones((2, 2))}
  changes, _ = optimizer.update({'w': jnp.full((2, 2), 3.0)}, optimizer.init(params), params)
  np.testing.assert_allclose(changes['w'], -0.002, rtol=1e-5)


@pytest.mark.parametrize(('changes', 'message'), [
  ({'optimizer.name': 'rmsprop'}, "optimizer.name: unknown 'rmsprop'; allowed: adam, adamw, sgd"),
  ({'schedule.name': 'linear'}, "schedule.name: unknown 'linear'; allowed: steps, constant"),
  ({'optimizer.clip_norm': 0.0}, 'optimizer.clip_norm: 0.0 is out of range'),
  ({'optimizer.accumulate_steps': 0}, 'optimizer.accumulate_steps: 0 is out of range'),
  ({'schedule.warmup_steps': -1}, 'schedule.warmup_steps: -1 is out of range'),
])
def test_wrong_use(changes, message, tmp_path):
  with pytest.raises(UserError, match=message):
    run.train_and_evaluate(tiny.config(**changes), str(tmp_path))


def test_an_option_of_another_optimizer_is_refused(tmp_path):
  config = tiny.config()
  config.optimizer.momentum = 0.5
  with pytest.raises(UserError, match=r'optimizer\.momentum: not an option of the optimizer adam'):
    run.train_and_evaluate(config, str(tmp_path))
