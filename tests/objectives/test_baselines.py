"""Methods of others: their losses against programs written from their papers, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from multiscale_inversion import objectives
from multiscale_inversion.inversion.stages import Inversion
from multiscale_inversion.objectives import Context, InitialContext, baselines
from multiscale_inversion.objectives.baselines.virtual_adversarial import _unit

pytest.importorskip('torch', reason='PyTorch, the independent oracle, is not installed')
import baselines_oracle as oracle
import torch

N, D, C, TRAIN = 6, 5, 4, 11
LABELS = np.array([2, 0, 3, -1, -1, -1])
MASK = (LABELS >= 0).astype(float)
POSITIONS = np.array([3, 0, 7, 10, 5, 1])

pytestmark = pytest.mark.usefixtures('float64')


def torched(tree):
  return jax.tree.map(lambda leaf: torch.tensor(np.array(leaf), dtype=torch.float64), tree)


@pytest.fixture
def problem():
  """Weights, images, and the images as two augmentations would make them."""
  random = np.random.RandomState(0)
  draw = lambda *shape: random.standard_normal(shape)
  params = {'a': draw(D, 7), 'b': draw(7, C)}
  return params, draw(N, D), draw(N, D), draw(N, D)


def model(params, x):
  """A network of one hidden layer, in JAX or in PyTorch."""
  hidden = jnp.tanh(x @ params['a']) if isinstance(x, jax.Array) else torch.tanh(x @ params['a'])
  return hidden @ params['b']


def moved(batch_stats, x):
  """Running statistics after a pass: here, of the inputs' mean."""
  return jax.tree.map(lambda leaf: 0.5 * leaf + 0.5 * jnp.mean(x, 0), batch_stats)


def evaluate(objective, params, images, weak=None, strong=None, memory=None, progress=0.5):
  """The objective of a batch whose augmentations are given images; the first argument free."""
  weak = images if weak is None else weak
  inputs = jnp.asarray(images)
  z = model(params, inputs)
  context = Context(
    images=inputs,
    positions=jnp.asarray(POSITIONS),
    inputs=inputs,
    step=jnp.asarray(7),
    progress=jnp.asarray(progress),
    key=jax.random.key(0),
    variables={'params': params, 'batch_stats': {}},
    forward=lambda v, x, key: (model(v['params'], x), moved(v['batch_stats'], x)),
    weak=lambda key, x: jnp.asarray(weak),
    strong=lambda key, x: jnp.asarray(strong),
    memory=memory,
  )
  inversion = Inversion((inputs, z), (inputs / 2,), (None,))
  return objective.evaluate(inversion, jnp.asarray(LABELS), jnp.asarray(MASK), context)


def labeled_cross_entropy(logits):
  """By hand, the mean over the labeled ones."""
  total = 0
  for row, label in zip(logits, LABELS, strict=True):
    if label >= 0:
      total = total + torch.log(torch.exp(row).sum()) - row[label]
  return total / MASK.sum()


def compare(objective, problem, expected, **options):
  """Values and gradients of the mean loss: ours, and `expected(params of PyTorch) -> scalar`."""
  params, images = problem[0], problem[1]
  mean = lambda p: jnp.mean(evaluate(objective, p, images, **options).values)
  value, gradient = jax.value_and_grad(mean)(jax.tree.map(jnp.asarray, params))
  theirs = {name: leaf.requires_grad_() for name, leaf in torched(params).items()}
  loss = expected(theirs)
  loss.backward()
  assert float(value) == pytest.approx(loss.item(), rel=1e-9)
  for name, leaf in theirs.items():
    np.testing.assert_allclose(gradient[name], leaf.grad.numpy(), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(('progress', 'weight'), [(0.05, 0.0), (0.35, 1.5), (0.8, 3.0)])
def test_pseudo_label(problem, progress, weight):
  x = torch.tensor(problem[1])
  assert oracle.pseudo_label_weight(progress, 0.1, 0.6, 3.0) == pytest.approx(weight)

  def expected(params):
    logits = model(params, x)
    own = oracle.pseudo_label(logits)[MASK == 0].mean()
    return labeled_cross_entropy(logits) + weight * own

  compare(objectives.create('pseudo_label'), problem, expected, progress=progress)


@pytest.mark.parametrize('progress', [0.0, 0.1, 0.9])
def test_pi_model(problem, progress):
  _, images, weak, _ = problem
  weight = 100 * oracle.rampup(progress / 0.25)

  def expected(params):
    logits = model(params, torch.tensor(images))
    other = model(params, torch.tensor(weak))
    return labeled_cross_entropy(logits) + weight * oracle.pi_model(logits, other).mean()

  compare(objectives.create('pi_model'), problem, expected, weak=weak, progress=progress)


def test_temporal_ensembling(problem):
  """Three epochs: the first has no targets, later ones have those of the averages before them."""
  params, images = problem[:2]
  objective = objectives.create('temporal_ensembling', rampup=0.0, weight=30.0)
  memory = objective.init(InitialContext({'params': params, 'batch_stats': {}}, TRAIN, C, 1))
  sums = torch.zeros(N, C, dtype=torch.float64)
  random = np.random.RandomState(1)
  for epoch in range(3):
    params = {k: leaf + 0.3 * random.standard_normal(leaf.shape) for k, leaf in params.items()}

    def expected(params, epoch=epoch, sums=sums):
      logits = model(params, torch.tensor(images))
      total = labeled_cross_entropy(logits)
      if epoch == 0:
        return total + 0 * logits.sum()
      target = sums / (1 - 0.6**epoch)
      return total + 30 * oracle.temporal_ensembling(logits, target).mean()

    compare(objective, (params, images), expected, memory=memory)
    to_remember = evaluate(objective, params, images, memory=memory).to_remember
    memory = objective.update(memory, to_remember, params)
    probabilities = torch.softmax(model(torched(params), torch.tensor(images)), -1)
    sums, _ = oracle.temporal_ensembling_update(sums, probabilities, 0.6, epoch + 1)
  (table,) = memory.values()
  np.testing.assert_allclose(table['sums'][POSITIONS], sums, rtol=1e-10)
  elsewhere = np.setdiff1d(np.arange(TRAIN), POSITIONS)
  assert not np.any(table['sums'][elsewhere])
  np.testing.assert_array_equal(table['count'][POSITIONS], 3)
  np.testing.assert_array_equal(table['count'][elsewhere], 0)


def test_an_image_that_is_twice_in_a_batch_has_the_mean_of_its_predictions():
  objective = objectives.create('temporal_ensembling')
  memory = objective.init(InitialContext({}, TRAIN, 2, 1))
  to_remember = {
    'positions': jnp.asarray([4, 1, 4]), 'count': jnp.asarray([1.0, 1.0, 1.0]),
    'sums': jnp.asarray([[0.2, 0.8], [0.5, 0.5], [0.6, 0.4]]),
  }
  (key,) = memory
  (table,) = objective.update(memory, {key: to_remember}, {}).values()
  np.testing.assert_allclose(table['sums'][jnp.asarray([4, 1])], [[0.4, 0.6], [0.5, 0.5]])
  np.testing.assert_array_equal(np.flatnonzero(table['count']), [1, 4])
  np.testing.assert_array_equal(table['count'][jnp.asarray([4, 1])], 1)


@pytest.mark.parametrize('iterations', [0, 1, 3])
def test_adversarial_direction_and_loss(problem, iterations):
  params, images, noise, _ = problem
  predict = lambda x: model(params, x)
  direction = baselines.adversarial_direction(
    predict, jnp.asarray(images), jnp.asarray(noise), 1e-3, iterations
  )
  theirs = torched(params)
  _, change = oracle.vat(
    lambda x: model(theirs, x), torch.tensor(images), torch.tensor(noise), 1e-3, 2.0, iterations
  )
  np.testing.assert_allclose(2.0 * np.asarray(direction), change.numpy(), rtol=1e-7, atol=1e-9)


def test_virtual_adversarial(problem):
  images = problem[1]
  # The noise that the term draws from its key, the second of the objective's terms.
  key = jax.random.split(jax.random.fold_in(jax.random.key(0), 1))[0]
  noise = torch.tensor(np.array(jax.random.normal(key, images.shape, jnp.float64)))

  def expected(params):
    x = torch.tensor(images)
    loss, _ = oracle.vat(lambda inputs: model(params, inputs), x, noise, 0.01, 0.7, 2)
    return labeled_cross_entropy(model(params, x)) + 1.5 * loss.mean()

  objective = objectives.create('virtual_adversarial', weight=1.5, epsilon=0.7, num_iterations=2)
  compare(objective, problem, expected)


def test_a_tiny_gradient_has_a_direction():
  """In float32 the squares of its entries are zero."""
  tiny = jnp.array([[3e-30, 4e-30], [0, 0], [0, -7.0]], jnp.float32)
  np.testing.assert_allclose(
    _unit(tiny), [[0.6, 0.8], [0, 0], [0, -1]], rtol=1e-6
  )


def test_mean_teacher(problem):
  params, images, weak, _ = problem
  objective = objectives.create('mean_teacher', rampup=0.0, weight=50.0)
  teacher = jax.tree.map(lambda leaf: leaf + 0.2, params)
  statistics = {'mean': jnp.ones(D)}
  memory = {'1': {'params': teacher, 'batch_stats': statistics}}
  began = objective.init(InitialContext({'params': params, 'batch_stats': statistics}, 1, C, 1))
  assert jax.tree.structure(began) == jax.tree.structure(memory)

  def expected(params):
    logits = model(params, torch.tensor(images))
    target = model(torched(teacher), torch.tensor(weak))
    return labeled_cross_entropy(logits) + 50 * oracle.mean_teacher(logits, target).mean()

  compare(objective, problem, expected, weak=weak, memory=memory)
  to_remember = evaluate(objective, params, images, memory=memory, weak=weak).to_remember
  after = jax.tree.map(lambda leaf: leaf - 1.0, params)
  variables = {'params': after, 'batch_stats': {'mean': jnp.full(D, 7.0)}}  # the student's
  memory = objective.update(memory, to_remember, variables)
  decay = oracle.ema_decay(7, 0.99)
  assert decay == pytest.approx(1 - 1 / 8)
  updated = oracle.mean_teacher_update(torched(teacher), torched(after), decay)
  averaged = objective.averaged(memory, variables)
  for name, leaf in updated.items():
    np.testing.assert_allclose(averaged['params'][name], leaf.numpy(), rtol=1e-12)
  # Of the images that the teacher saw.
  np.testing.assert_allclose(averaged['batch_stats']['mean'], 0.5 + 0.5 * np.mean(weak, 0))


@pytest.mark.parametrize('threshold', [0.0, 0.6, 0.99])
def test_fixmatch(problem, threshold):
  params, images, _, strong = problem
  objective = objectives.create('fixmatch', threshold=threshold, weight=2.0)

  def expected(params):
    logits = model(params, torch.tensor(images))
    values = oracle.fixmatch(logits, model(params, torch.tensor(strong)), threshold)
    return labeled_cross_entropy(logits) + 2 * values[MASK == 0].mean()

  compare(objective, problem, expected, strong=strong)
  found = evaluate(objective, params, images, strong=strong)
  probabilities = torch.softmax(model(torched(params), torch.tensor(images)), -1)[MASK == 0]
  share = (probabilities.max(-1).values >= threshold).double().mean().item()
  assert float(found.scalars['certain']) == pytest.approx(share)


def test_thresholds_of_the_test_tell_apart():
  """Some unlabeled predictions are certain beyond 0.6 and some are not."""
  random = np.random.RandomState(0)
  params = {'a': random.standard_normal((D, 7)), 'b': random.standard_normal((7, C))}
  logits = model(torched(params), torch.tensor(random.standard_normal((N, D))))
  certain = torch.softmax(logits, -1)[MASK == 0].max(-1).values
  assert 0 < (certain >= 0.6).sum() < 3


@pytest.mark.parametrize('name', ['pi_model', 'mean_teacher', 'fixmatch', 'pseudo_label'])
def test_with_multiscale_is_the_sum(problem, name):
  params, images, weak, strong = problem
  variables = {'params': params, 'batch_stats': {}}
  memory = {'1': variables} if name == 'mean_teacher' else {}
  passes = {'weak': weak, 'strong': strong, 'memory': memory}
  alone, both = objectives.create(name), objectives.create(f'{name}+multiscale')
  assert (alone.inverts, both.inverts) == (False, True)
  difference = (
    evaluate(both, params, images, **passes).values
    - evaluate(alone, params, images, **passes).values
  )
  # In `evaluate`, half of the input is reconstructed.
  np.testing.assert_allclose(difference, np.mean(images**2, axis=1) / 4, rtol=1e-9)
