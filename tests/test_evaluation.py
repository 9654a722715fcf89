import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from multiscale_inversion import evaluation, networks

COUNT, CLASSES, SHAPE = 23, 4, (3, 5, 2)  # 23: no batch size but 1 and 23 divides it
SIZES = [1, 2, 4, 10, 23, 24, 100]


def _data(seed=0):
  random = np.random.RandomState(seed)
  images = random.randint(0, 256, (COUNT, *SHAPE)).astype(np.uint8)
  return images, random.randint(0, CLASSES, COUNT).astype(np.int32)


def _linear(seed=1):
  """A network of one dense layer, which answers class 3 (and no label) for a black image."""
  random = np.random.RandomState(seed)
  weights = {
      'kernel': random.standard_normal((np.prod(SHAPE), CLASSES)).astype(np.float32),
      'bias': np.array([0, 0, 0, 0.5], np.float32),
  }

  def apply(variables, x):
    return x, x.reshape(len(x), -1) @ variables['kernel'] + variables['bias'][None]

  return types.SimpleNamespace(apply=apply), weights


def _expected(images, labels, weights):
  """Error and cross-entropy, image by image in float64."""
  wrong, cross_entropy = 0, 0.0
  for image, label in zip(images, labels):
    x = image.astype(np.float64)
    x = x - x.mean()
    x = x / (np.abs(x).max() or 1)
    logits = x.reshape(-1) @ weights['kernel'].astype(np.float64) + weights['bias']
    wrong += int(np.argmax(logits) != label)
    cross_entropy += np.log(np.sum(np.exp(logits))) - logits[label]
  return wrong / len(images), cross_entropy / len(images)


@pytest.mark.parametrize('batch_size', SIZES)
def test_batches_hold_every_image_once_and_a_masked_rest(batch_size):
  images, labels = _data()
  test_data = evaluation.batch_up(images, labels, batch_size)
  batches = -(-COUNT // batch_size)
  assert test_data.images.shape == (batches, batch_size, *SHAPE)
  assert test_data.labels.shape == test_data.mask.shape == (batches, batch_size)
  assert test_data.images.dtype == jnp.uint8
  assert test_data.labels.dtype == jnp.int32
  assert test_data.mask.dtype == jnp.float32
  mask = np.asarray(test_data.mask).reshape(-1)
  assert mask.tolist() == [1] * COUNT + [0] * (batches * batch_size - COUNT)
  np.testing.assert_array_equal(test_data.images.reshape(-1, *SHAPE)[:COUNT], images)
  np.testing.assert_array_equal(test_data.labels.reshape(-1)[:COUNT], labels)


@pytest.mark.parametrize('batch_size', [1, 4, 10, 100])
def test_metrics_are_those_of_a_loop_over_all_images(batch_size):
  images, labels = _data()
  network, weights = _linear()
  error, cross_entropy = _expected(images, labels, weights)
  assert 0 < error < 1
  measured = evaluation.make_evaluation(network)(
      weights, evaluation.batch_up(images, labels, batch_size)
  )
  assert set(measured) == {'error', 'cross_entropy', 'confusion'}
  confusion = np.zeros((CLASSES, CLASSES))
  for image, label in zip(images, labels, strict=True):
    x = image - image.mean()
    scores = (x / np.abs(x).max()).reshape(-1) @ weights['kernel'] + weights['bias']
    confusion[label, scores.argmax()] += 1
  np.testing.assert_array_equal(measured['confusion'], confusion)
  assert float(measured['error'].count) == float(measured['cross_entropy'].count) == COUNT
  assert measured['error'].value() == pytest.approx(error, rel=1e-12)
  assert measured['cross_entropy'].value() == pytest.approx(cross_entropy, rel=1e-5)


@pytest.mark.parametrize(
    ('padded_logits', 'right'),
    # The label that fills up is 0: the first would add errors, the second take some away.
    [([0, 0, 0, 9], True), ([9, 0, 0, 0], False), ([np.nan] * 4, True), ([-np.inf] * 4, False)],
)
def test_padding_never_counts(padded_logits, right):
  images, labels = _data()

  def apply(variables, x):
    # `labels` travel as variables: the network is right (or wrong) about all it should see.
    black = jnp.all(x == 0, (1, 2, 3))
    found = jnp.argmin(jnp.sum((x[:, None] - variables['images'][None]) ** 2, (2, 3, 4)), 1)
    logits = 20.0 * jax.nn.one_hot(variables['answers'][found], CLASSES)
    return (jnp.where(black[:, None], jnp.array([padded_logits], jnp.float32), logits),)

  x = images.astype(np.float64) - images.mean((1, 2, 3), keepdims=True)
  variables = {
      'images': jnp.asarray(x / np.abs(x).max((1, 2, 3), keepdims=True), jnp.float32),
      'answers': jnp.asarray(labels if right else (labels + 1) % CLASSES),
  }
  evaluate = evaluation.make_evaluation(types.SimpleNamespace(apply=apply))
  measured = evaluate(variables, evaluation.batch_up(images, labels, 10))  # 7 are padding
  assert measured['error'].value() == (0.0 if right else 1.0)
  expected = np.log(1 + 3 * np.exp(-20.0)) + (0 if right else 20)
  assert measured['cross_entropy'].value() == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_a_network_in_evaluation_uses_its_running_statistics():
  images, labels = _data()
  network = networks.create('resnet', num_classes=CLASSES, blocks_per_group=1, width=2)
  shapes = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 8, 8, 2)))
  random = np.random.RandomState(3)
  variables = jax.tree.map(lambda leaf: random.uniform(-0.5, 0.5, leaf.shape).astype('f'), shapes)
  variables['batch_stats'] = jax.tree.map(lambda leaf: leaf + 1, variables['batch_stats'])
  images = np.tile(images, (1, 3, 2, 1))[:, :8, :8]
  images[5:9] = 200  # constant: zeros by normalization
  x = images.astype(np.float64) - images.mean((1, 2, 3), keepdims=True)
  x = x / np.maximum(np.abs(x).max((1, 2, 3), keepdims=True), 1e-9)
  apply = jax.jit(lambda image: network.apply(variables, image)[-1])  # in batches of one
  logits = np.concatenate([apply(image.astype('f')) for image in x[:, None]]).astype(float)
  expected = np.log(np.exp(logits).sum(1)) - logits[np.arange(COUNT), labels]
  measured = evaluation.make_evaluation(network)(
      variables, evaluation.batch_up(images, labels, 10)
  )
  assert measured['error'].value() == pytest.approx(np.mean(logits.argmax(1) != labels), rel=1e-12)
  assert measured['cross_entropy'].value() == pytest.approx(expected.mean(), rel=1e-4)
