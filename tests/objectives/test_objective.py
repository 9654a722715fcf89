"""Sums, weights, schedules, groups: objectives against the same sums by hand."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from multiscale_inversion import objectives
from multiscale_inversion.errors import UserError
from multiscale_inversion.inversion.stages import Inversion
from multiscale_inversion.objectives import Context, ContextTerm, InitialContext, LossOutput, add

LOGITS = np.array([[2.0, 0, -1], [0, 0.5, 0], [1, 1, 1], [3, -3, 0]])
LABELS = np.array([0, 2, -1, -1])
MASK = np.array([1.0, 1, 0, 0])
FIRST = np.array([1.0, 2, 3, 4])
SECOND = np.array([10.0, 20, 30, 40])


def inversion():
  x = jnp.arange(8.0).reshape(4, 2)
  return Inversion((x, jnp.asarray(LOGITS)), (x / 2,), (None,))


def context(progress=0.5, memory=None):
  unchanged = lambda key, x: x
  zero = jnp.zeros((4, 2))
  return Context(
    zero, jnp.arange(4), zero, jnp.asarray(0), jnp.asarray(progress), jax.random.key(0), {},
    lambda params, images, key: jnp.asarray(LOGITS), unchanged, unchanged, memory,
  )


def first(inversion, labels, mask):
  return jnp.asarray(FIRST)


def second(inversion, labels, mask):
  return jnp.asarray(SECOND)


def value(objective, **options):
  return np.asarray(objective(inversion(), LABELS, jnp.asarray(MASK), **options))


def test_sum_of_functions_objectives_and_weights():
  inner = add((2.0, first), second)
  np.testing.assert_allclose(value(inner), 2 * FIRST + SECOND)
  outer = add(first, (0.5, inner))
  np.testing.assert_allclose(value(outer), FIRST + FIRST + SECOND / 2)


@pytest.mark.parametrize('progress', [0.0, 0.25, 0.9])
def test_schedules_multiply(progress):
  ramp = lambda progress: 4 * progress
  objective = add((3.0, add((ramp, first), second)), (ramp, add((ramp, second))))
  expected = 3 * (4 * progress * FIRST + SECOND) + (4 * progress) ** 2 * SECOND
  np.testing.assert_allclose(value(objective, context=context(progress)), expected, rtol=1e-6)


def test_schedules_and_context_terms_need_the_context():
  with pytest.raises(TypeError, match='schedule'):
    value(add((lambda progress: progress, first)))
  with pytest.raises(TypeError, match='context'):
    value(add(ContextTerm(lambda *arguments: LossOutput(jnp.zeros(4)))))


@pytest.mark.parametrize('wrap', [lambda f: f, lambda f: ContextTerm(
  lambda i, l, m, context: LossOutput(f(i, l, m)))])
def test_groups(wrap):
  on_labeled = add(objectives.labeled(wrap(first)))
  on_unlabeled = add(objectives.unlabeled(wrap(first), 'group'))
  np.testing.assert_allclose(value(on_labeled, context=context()), [1, 2, 0, 0])
  # The batch's average is that of the group: (3 + 4) / 2.
  np.testing.assert_allclose(value(on_unlabeled, context=context()), [0, 0, 6, 8])


def test_a_group_hides_what_is_infinite_elsewhere():
  infinite = lambda i, l, m: jnp.where(m > 0, jnp.inf, 1.0)
  np.testing.assert_allclose(value(add(objectives.unlabeled(infinite))), [0, 0, 1, 1])


def test_per_log_classes():
  np.testing.assert_allclose(
    value(add(objectives.per_log_classes(first))), FIRST / np.log(3), rtol=1e-6
  )


def counting(start_at):
  """A term whose memory counts steps and whose loss is the count."""
  return ContextTerm(
    lambda i, l, m, context: LossOutput(jnp.ones(4) * context.memory, jnp.asarray(2.0)),
    init=lambda start: jnp.asarray(start_at + start.num_train),
    update=lambda memory, to_remember, params: memory + to_remember * params,
  )


def test_each_term_has_its_own_memory():
  objective = add(counting(1.0), first, (10.0, counting(5.0)))
  memory = objective.init(InitialContext({}, 100, 3, 1))
  assert {key: float(value) for key, value in memory.items()} == {'0': 101, '2': 105}
  found = objective.evaluate(
    inversion(), LABELS, jnp.asarray(MASK), context(memory=memory)
  )
  np.testing.assert_allclose(found.values, 101 + FIRST + 1050)
  memory = objective.update(memory, found.to_remember, 7.0)
  assert {key: float(value) for key, value in memory.items()} == {'0': 115, '2': 119}


def test_terms_have_different_keys():
  seen = []
  term = ContextTerm(lambda i, l, m, context: seen.append(context.key) or LossOutput(jnp.zeros(4)))
  value(add(term, term), context=context())
  a, b = map(jax.random.key_data, seen)
  assert np.any(a != b)


def test_addition_of_the_reconstruction_by_name():
  # ||x - x/2||^2 / D with D = 2.
  reconstruction = np.sum((np.arange(8.0).reshape(4, 2) / 2) ** 2, 1) / 2
  for name in ('multiscale', 'global'):
    plain = value(objectives.create('supervised'))
    both = objectives.create(f'supervised+{name}')
    assert both.inverts
    np.testing.assert_allclose(value(both) - plain, reconstruction, rtol=1e-5)
  np.testing.assert_allclose(
    value(objectives.create('entropy+multiscale')), value(objectives.create('multiscale')),
    rtol=1e-6,
  )


def test_options_go_to_the_part_that_takes_them():
  assert objectives.defaults('fixmatch+multiscale') == {
    'weight': 1.0, 'threshold': 0.95, 'reduction': 'group',
    'layers': None, 'stop_target': False, 'layer_weights': None, 'form': 'output',
  }
  weighted = objectives.create('supervised+multiscale', layer_weights=(3.0,), layers=(0,))
  three = value(weighted) - value(objectives.create('supervised'))
  one = value(objectives.create('supervised+multiscale')) - value(objectives.create('supervised'))
  np.testing.assert_allclose(three, 3 * one, rtol=1e-5)
  with pytest.raises(UserError, match=r'layers: not an option of fixmatch; allowed'):
    objectives.create('fixmatch', layers=(0,))


@pytest.mark.parametrize('name', ['fixmatch+entropy', 'multi', '+multiscale', 'fixmatch+'])
def test_wrong_names(name):
  with pytest.raises(UserError, match=r'name.*allowed'):
    objectives.create(name)


def test_a_loss_of_ones_own():
  np.testing.assert_allclose(value(objectives.create('function', function=first)), FIRST)
  with pytest.raises(UserError, match=r'function'):
    objectives.create('function')


def test_registration():
  objectives.register('test_registration', lambda scale=2.0: add((scale, first)))
  np.testing.assert_allclose(value(objectives.create('test_registration')), 2 * FIRST)
  np.testing.assert_allclose(value(objectives.create('test_registration', scale=5.0)), 5 * FIRST)
  # A configuration file may run twice, and a cell of a notebook.
  objectives.register('test_registration', lambda: add((3.0, first)))
  np.testing.assert_allclose(value(objectives.create('test_registration')), 3 * FIRST)
  for name, message in [('multiscale', "library's own"), ('a+b', 'letters')]:
    with pytest.raises(ValueError, match=message):
      objectives.register(name, lambda: add(first))


@pytest.mark.parametrize('name', [
  'multiscale+multiscale', 'learned+multiscale', 'global+global', 'fixmatch+multiscale+multiscale',
  'fixmatch+global+multiscale+global',
])
def test_a_reconstruction_is_added_once(name):
  with pytest.raises(UserError, match=rf'name: {re.escape(name)}; allowed: each'):
    objectives.create(name)
  objectives.options('fixmatch+global+multiscale')


@pytest.mark.parametrize(('options', 'message'), [
  ({'layers': (0, 0)}, r'layers: \(0, 0\); allowed'),
  ({'layers': (-1,)}, r'layers: \(-1,\); allowed'),
  ({'layers': ()}, r'layers: \(\); allowed'),
  ({'layer_weights': (0, 0.0)}, r'layer_weights: \(0, 0\.0\); allowed'),
  ({'layer_weights': (1, -1)}, r'layer_weights: \(1, -1\); allowed'),
])
def test_layers_and_weights_that_cannot_be(options, message):
  for name in ('multiscale', 'pi_model+multiscale'):
    with pytest.raises(UserError, match=message):
      objectives.create(name, **options)


def test_layers_and_weights_of_numpy():
  for layers, weights in ((np.arange(2), np.ones(2)), ((np.int64(0),), (np.float32(2),))):
    objectives.create('multiscale', layers=layers, layer_weights=weights)


def test_a_layer_that_there_is_not():
  objective = add(objectives.create('multiscale', layers=(0, 9)))
  inversion = Inversion((jnp.ones((2, 3)), LOGITS[:2]), (jnp.ones((2, 3)),), (None,))
  with pytest.raises(UserError, match=r'layers: \(0, 9\); allowed: 0 to 0'):
    objective(inversion, LABELS[:2], MASK[:2])


def test_sums_that_cannot_be():
  with pytest.raises(UserError, match='a sum of nothing'):
    add()
  with pytest.raises(UserError, match=r"the weight '0\.5'; allowed: a number, or a function"):
    add(('0.5', first))
  assert add((jnp.float32(0.5), first), (np.float32(0.5), first), (np.array(0.5), first)).terms
