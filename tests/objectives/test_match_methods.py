"""MixMatch, FlexMatch, FreeMatch and SoftMatch against NumPy, over several successive steps."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import match_oracle as oracle
import numpy as np
import pytest

from multiscale_inversion import objectives
from multiscale_inversion.errors import UserError
from multiscale_inversion.inversion.stages import Inversion
from multiscale_inversion.objectives import Context, InitialContext
from multiscale_inversion.objectives.baselines.averaged_weights import with_averaged_weights
from multiscale_inversion.objectives.baselines.flexmatch import remembered
from multiscale_inversion.objectives.baselines.mixmatch import mixing

N, D, C, TRAIN, STEPS = 8, 3, 3, 16, 6
# Not in the order of batches of the library: the mask alone says which are labeled.
LABELS = np.array([-1, 1, -1, -1, 0, -1, -1, -1])
MASK = (LABELS >= 0).astype(float)
UNLABELED = np.arange(4, TRAIN)

pytestmark = pytest.mark.usefixtures('float64', 'little_optimization')


class Step(NamedTuple):
  """Weights, and a batch as the augmentations leave it."""

  params: dict
  inputs: np.ndarray
  weak: np.ndarray
  strong: np.ndarray
  positions: np.ndarray


def steps(seed=0):
  random = np.random.RandomState(seed)
  draw = lambda *shape: random.standard_normal(shape)
  params = {'a': draw(D, 4), 'b': draw(4, C)}
  made = []
  for _ in range(STEPS):
    params = {name: value + 0.4 * draw(*value.shape) for name, value in params.items()}
    positions = np.where(MASK > 0, random.randint(4, size=N), random.permutation(UNLABELED)[:N])
    x = draw(N, D)
    made.append(Step(params, x, x + 0.1 * draw(N, D), x + 0.5 * draw(N, D), positions))
  return made


def model(params, x):
  numpy = jnp if isinstance(params['a'], jax.Array) else np
  return 3 * (numpy.tanh(x @ params['a']) @ params['b'])


def evaluate(objective, step, memory=None, progress=0.5, mask=MASK, key=0):
  """The objective's output for a batch, whose augmentations are given images, and its gradient."""
  if id(objective) not in _COMPILED:
    _COMPILED[id(objective)] = objective, jax.jit(jax.value_and_grad(
      lambda params, *arguments: _mean(objective, params, *arguments), has_aux=True
    ))
  arguments = (step, memory, progress, mask, jax.random.key(key))
  (_, output), gradient = _COMPILED[id(objective)][1](step.params, *arguments)
  return output, gradient


_COMPILED = {}


def _mean(objective, params, step, memory, progress, mask, key):
  context = Context(
    images=step.inputs,
    positions=step.positions,
    inputs=step.inputs,
    step=jnp.asarray(7),
    progress=progress,
    key=key,
    variables={'params': params, 'batch_stats': {}},
    forward=lambda v, x, key: (model(v['params'], x), v['batch_stats']),
    weak=lambda key, x: step.weak,
    strong=lambda key, x: step.strong,
    memory=memory,
  )
  inversion = Inversion((step.inputs, model(params, step.inputs)), (step.inputs / 2,), (None,))
  output = objective.evaluate(inversion, jnp.asarray(LABELS), mask, context)
  return jnp.mean(output.values), output


def initial(objective):
  return objective.init(InitialContext({'params': {}, 'batch_stats': {}}, TRAIN, C, 1, 12))


def difference(function, params, epsilon=1e-6):
  """The gradient by central differences."""
  gradient = {}
  for name, value in params.items():
    gradient[name] = np.zeros_like(value)
    for index in np.ndindex(value.shape):
      ends = []
      for sign in (1, -1):
        moved = {key: leaf.copy() for key, leaf in params.items()}
        moved[name][index] += sign * epsilon
        ends.append(function(moved))
      gradient[name][index] = (ends[0] - ends[1]) / (2 * epsilon)
  return gradient


def compare(objective, step, expected, memory=None, **options):
  """Value and gradient of the mean over the batch against a function of NumPy's parameters.

  Returns the memory after the step, and the scalars.
  """
  output, gradient = evaluate(objective, step, memory, **options)
  assert float(jnp.mean(output.values)) == pytest.approx(expected(step.params), rel=1e-10)
  for name, found in difference(expected, step.params).items():
    np.testing.assert_allclose(gradient[name], found, rtol=1e-5, atol=1e-8)
  return objective.update(memory or {}, output.to_remember, {}), output.scalars


def of_strong_views(loss, step, weight=1.0):
  """The whole objective as a function of the parameters; weak predictions are constant."""
  weak = model(step.params, step.inputs)

  def total(params):
    own = oracle.labeled_cross_entropy(model(params, step.inputs), LABELS, MASK)
    return own + weight * loss(weak, model(params, step.strong), MASK)

  return total


def share_chosen(weak, thresholds):
  """Of unlabeled predictions, those above the threshold of their class."""
  rows = [oracle.softmax(weak[n]) for n in oracle.unlabeled(MASK)]
  return np.mean([max(q) > thresholds[oracle.argmax(q)] for q in rows])


@pytest.mark.parametrize('warmup', [True, False])
@pytest.mark.parametrize('mapping', ['convex', 'linear', 'concave'])
def test_flexmatch(mapping, warmup):
  objective = objectives.create(
    'flexmatch', threshold=0.8, mapping=mapping, warmup=warmup, weight=1.5
  )
  method, memory = oracle.FlexMatch(len(UNLABELED), C, 0.8, mapping, warmup), initial(objective)
  seen, shares = set(), set()
  for step in steps():
    weak = model(step.params, step.inputs)
    thresholds = method.thresholds()
    loss = of_strong_views(method.loss, step, 1.5)
    memory, scalars = compare(objective, step, loss, memory)
    method.update(weak, step.positions, MASK)
    expected = [method.labels.get(n, -1) for n in range(TRAIN)]
    (own,) = memory.values()
    np.testing.assert_array_equal(own['predicted'], expected)
    assert float(scalars['threshold']) == pytest.approx(np.mean(thresholds))
    shares.add(share_chosen(weak, thresholds))
    assert float(scalars['certain']) == pytest.approx(share_chosen(weak, thresholds))
    seen.add(tuple(np.round(thresholds, 6)))
  assert len(seen) > 3 and len(shares) > 1  # thresholds move, and decide
  assert -1 in expected[4:] and set(expected[:4]) == {-1}  # labeled images never count


def test_flexmatch_takes_the_last_of_an_image_that_is_twice_in_a_batch():
  before = jnp.asarray([-1, 2, -1, 0])
  positions, classes = jnp.asarray([1, 3, 1, 1, 3]), jnp.asarray([0, 1, 1, -1, 2])
  after = remembered(before, positions, classes)
  np.testing.assert_array_equal(after, [-1, 1, -1, 2])


def test_flexmatch_needs_to_know_how_many_are_unlabeled():
  with pytest.raises(UserError, match='unlabeled images is not known; allowed: from 1 up'):
    objectives.create('flexmatch').init(InitialContext({}, TRAIN, C, 1))


@pytest.mark.parametrize(('decay', 'bounds'), [(0.2, (0.0, 1.0)), (0.5, (0.0, 1.0)),
                                               (0.5, (0.45, 0.7))])
def test_freematch(decay, bounds):
  objective = objectives.create(
    'freematch', decay=decay, weight=1.5, fairness_weight=0.7, lowest_threshold=bounds[0],
    highest_threshold=bounds[1],
  )
  method, memory = oracle.FreeMatch(C, decay, 1.5, 0.7, bounds), initial(objective)
  shares, classes = set(), set()
  for step in steps():
    weak, strong = (model(step.params, x) for x in (step.inputs, step.strong))
    method.update(weak, MASK)
    loss = of_strong_views(method.loss, step)
    memory, scalars = compare(objective, step, loss, memory)
    (own,) = memory.values()
    np.testing.assert_allclose(own['confidence'], method.tau, rtol=1e-12)
    np.testing.assert_allclose(own['mean'], method.p, rtol=1e-12)
    np.testing.assert_allclose(own['histogram'], method.h, rtol=1e-12)
    shares.add(share_chosen(weak, method.thresholds()))
    assert float(scalars['certain']) == pytest.approx(share_chosen(weak, method.thresholds()))
    assert float(scalars['threshold']) == pytest.approx(np.mean(method.thresholds()))
    classes.add(len({oracle.argmax(strong[n]) for n in method.chosen(weak, MASK)}))
  assert len(shares) > 1 and min(classes) < C  # thresholds decide; classes are left out


def test_freematch_of_which_no_prediction_is_chosen():
  objective = objectives.create('freematch', lowest_threshold=1.0, fairness_weight=1.0)
  method = oracle.FreeMatch(C, 0.999, 1.0, 1.0, (1.0, 1.0))
  for step in steps()[:2]:
    method.update(model(step.params, step.inputs), MASK)
    compare(objective, step, of_strong_views(method.loss, step), initial(objective))


def test_bounds_of_freematch_that_cannot_be():
  with pytest.raises(UserError, match=r'lowest_threshold: 0\.9; allowed: up to highest_threshold'):
    objectives.create('freematch', lowest_threshold=0.9, highest_threshold=0.5)


@pytest.mark.parametrize('alignment', [True, False])
@pytest.mark.parametrize('num_deviations', [1.0, 2.0])
def test_softmatch(num_deviations, alignment):
  objective = objectives.create(
    'softmatch', decay=0.6, weight=2.0, num_deviations=num_deviations, alignment=alignment
  )
  method, memory = oracle.SoftMatch(C, 0.6, num_deviations, alignment), initial(objective)
  all_weights = []
  for step in steps():
    weak = model(step.params, step.inputs)
    method.update(weak, MASK)
    loss = of_strong_views(method.loss, step, 2.0)
    memory, scalars = compare(objective, step, loss, memory)
    (own,) = memory.values()
    np.testing.assert_allclose(own['mean'], method.p, rtol=1e-12)
    np.testing.assert_allclose(own['center'], method.mu, rtol=1e-12)
    np.testing.assert_allclose(own['variance'], method.variance, rtol=1e-12)
    weights = [method.weight(oracle.softmax(weak[n])) for n in oracle.unlabeled(MASK)]
    assert float(scalars['weight']) == pytest.approx(np.mean(weights))
    all_weights += weights
  assert min(all_weights) < 0.9 and max(all_weights) == 1


@pytest.mark.parametrize('name', ['flexmatch', 'freematch', 'softmatch', 'mixmatch'])
def test_a_batch_without_unlabeled_images_changes_no_memory(name):
  objective, step = objectives.create(name), steps()[0]
  memory = initial(objective)
  output, gradient = evaluate(objective, step, memory, mask=np.ones(N))
  assert all(np.isfinite(leaf).all() for leaf in gradient.values())
  assert np.isfinite(output.values).all()
  before = objective.update(memory, output.to_remember, {})
  jax.tree.map(np.testing.assert_array_equal, before, memory)


# MixMatch.


def test_partners_are_a_random_permutation_of_the_views_that_there_are():
  valid = np.array([1, 0, 1, 1, 0, 1, 1], bool)
  keys = jax.random.split(jax.random.key(0), 3000)
  drawn = jax.vmap(lambda key: mixing(key, jnp.asarray(valid), 0.75))(keys)
  partners, kept = np.asarray(drawn.partners), np.asarray(drawn.kept)
  np.testing.assert_array_equal(np.sort(partners, 1), np.tile(np.arange(7), (3000, 1)))
  assert valid[partners[:, valid]].all()
  # Each of five partners in a fifth of the cases: within five standard errors.
  for place in np.flatnonzero(valid):
    shares = [np.mean(partners[:, place] == other) for other in np.flatnonzero(valid)]
    np.testing.assert_allclose(shares, 0.2, atol=5 * np.sqrt(0.2 * 0.8 / 3000))
  # Of NumPy's Beta distribution, folded: the quantiles.
  share = np.random.RandomState(0).beta(0.75, 0.75, 200_000)
  levels = [0.1, 0.3, 0.5, 0.7, 0.9]
  np.testing.assert_allclose(
    np.quantile(kept, levels), np.quantile(np.maximum(share, 1 - share), levels), atol=0.015
  )


@pytest.mark.parametrize(('views', 'progress', 'weight'), [(1, 0.1, 30.0), (2, 0.5, 75.0),
                                                           (2, 0.0, 0.0), (3, 0.2, 60.0)])
def test_mixmatch(views, progress, weight):
  objective = objectives.create('mixmatch', num_augmentations=views, temperature=0.6)
  for number, step in enumerate(steps()):
    compare(
      objective, step, of_mixed_images(step, views, weight, number), progress=progress, key=number
    )


def of_mixed_images(step, views, weight, number):
  """MixMatch as its Algorithm 1 has it, of the partners and shares that our draws are."""
  key = jax.random.split(jax.random.fold_in(jax.random.key(number), 0), 3)[1]
  valid = np.array([[k == 0 or MASK[n] == 0 for n in range(N)] for k in range(views)])
  mix = mixing(key, jnp.asarray(valid.reshape(-1)), 0.75)
  # All views of the batch, in the order of the draws: of the first augmentation, of the second, ...
  seen = [step.inputs] + [step.weak] * (views - 1)
  logits = [model(step.params, x) for x in seen]
  images, targets = [], []
  for k in range(views):
    for n in range(N):
      images.append(seen[k][n])
      targets.append(
        oracle.one_hot(LABELS[n], C) if MASK[n] else oracle.guess([z[n] for z in logits], 0.6)
      )
  mixed = [
    (oracle.mixup(images[i], images[j], share), oracle.mixup(targets[i], targets[j], share))
    for i, (j, share) in enumerate(zip(np.array(mix.partners), np.array(mix.kept), strict=True))
  ]
  x = [mixed[n] for n in range(N) if MASK[n]]
  u = [mixed[k * N + n] for k in range(views) for n in range(N) if not MASK[n]]

  def total(params):
    of = lambda pairs: [model(params, image) for image, _ in pairs]
    return oracle.mixmatch(of(x), [t for _, t in x], of(u), [t for _, t in u], weight)

  return total


# All of them.


@pytest.mark.parametrize('name', ['flexmatch', 'freematch', 'softmatch', 'mixmatch'])
def test_with_multiscale_is_the_sum(name):
  step = steps()[0]
  alone, both = objectives.create(name), objectives.create(f'{name}+multiscale')
  assert (alone.inverts, both.inverts) == (False, True)
  values = [
    evaluate(objective, step, initial(objective))[0].values for objective in (both, alone)
  ]
  # In `evaluate`, half of the input is reconstructed.
  np.testing.assert_allclose(values[0] - values[1], np.mean(step.inputs**2, axis=1) / 4, rtol=1e-9)


@pytest.mark.parametrize('name', ['fixmatch', 'flexmatch', 'freematch', 'softmatch', 'mixmatch'])
def test_the_batch_mean_counts_each_group_by_its_share(name):
  step, values = steps()[0], {}
  for reduction in ('group', 'batch'):
    objective = objectives.create(name, reduction=reduction)
    values[reduction] = np.asarray(evaluate(objective, step, initial(objective))[0].values)
  share = np.where(MASK > 0, MASK.mean(), 1 - MASK.mean())
  np.testing.assert_allclose(values['batch'], share * values['group'], rtol=1e-12)


@pytest.mark.parametrize('name', ['fixmatch', 'flexmatch', 'freematch', 'softmatch', 'mixmatch'])
def test_averaged_weights(name):
  """The mean of the weights after the first steps, then a moving average; statistics likewise."""
  objective = with_averaged_weights(objectives.create(name), 0.7)
  history = [step.params for step in steps()]
  variables = lambda t: {'params': history[t], 'batch_stats': {'mean': history[t]['a'] + 1}}
  start = InitialContext(variables(0), TRAIN, C, 1, 12)
  memory = objective.init(start)
  average = {key: value.copy() for key, value in history[0].items()}
  for t in range(STEPS):
    output, _ = evaluate(objective, steps()[t], memory)
    output.to_remember[max(output.to_remember)]['step'] = jnp.asarray(t)
    memory = objective.update(memory, output.to_remember, variables(t))
    decay = min(1 - 1 / (t + 1), 0.7)
    average = {k: decay * v + (1 - decay) * history[t][k] for k, v in average.items()}
  found = objective.averaged(memory, variables(STEPS - 1))
  for key, value in average.items():
    np.testing.assert_allclose(found['params'][key], value, rtol=1e-6)
  np.testing.assert_allclose(found['batch_stats']['mean'], average['a'] + 1, rtol=1e-6)
  trained = variables(STEPS - 1)
  with pytest.raises(UserError, match=r'average_decay: 0\.5 beside an objective that averages'):
    with_averaged_weights(objective, 0.5)
  alone = with_averaged_weights(objectives.create(name), None)
  assert alone.averaged(initial(alone), trained) is trained
