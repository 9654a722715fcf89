"""Checks the PyTorch oracle against itself, before anything is checked against it."""

import copy

import numpy as np
import pytest

torch = pytest.importorskip('torch')

import torch.nn.functional as F  # noqa: E402
import torch_oracle  # noqa: E402

RESNET = {
  'name': 'resnet', 'blocks_per_group': 1, 'width': 2, 'pooling': 'mean',
  'activation': 'leaky_relu', 'negative_slope': 0.01, 'batch_norm_epsilon': 1e-5,
}
RESNET_MAX = {**RESNET, 'pooling': 'max'}
RESNET_SIGMOID = {**RESNET, 'blocks_per_group': 2, 'activation': 'sigmoid'}
CNN = {**RESNET, 'name': 'large_cnn'}
# An odd size meets pooling that drops a row: 13, 13, 15, 17 -> 8, 6, 8, 6 -> 3, 1, 1 in the CNN.
CASES = {
  'resnet': (RESNET, 8), 'resnet_max': (RESNET_MAX, 9), 'resnet_sigmoid': (RESNET_SIGMOID, 9),
  'cnn': (CNN, 13), 'cnn_max': ({**CNN, 'pooling': 'max'}, 13),
}


def random_problem(network, size, batch, seed=0, channels=3, classes=4):
  """Returns params, batch_stats, x, labels, mask; no scale, bias or statistic is trivial."""
  rng = np.random.default_rng(seed)
  k = network['width']
  if network['name'] == 'resnet':
    filters = [k * 2 ** g for g in range(3) for _ in range(network['blocks_per_group'])]
    sizes = [3] * len(filters)
  else:
    filters, sizes = [k] * 3 + [2 * k] * 5, [3] * 7 + [1]

  def kernel(*shape):
    return rng.normal(size=shape) / np.sqrt(np.prod(shape[:-1]))

  params, stats, cin = {}, {}, channels
  for i, (cout, s) in enumerate(zip(filters, sizes)):
    params[f'layers_{i}'] = {'block': {
      'conv': {'kernel': kernel(s, s, cin, cout)},
      'norm': {'scale': rng.uniform(0.5, 1.5, cout), 'bias': rng.normal(size=cout) / 2},
    }}
    stats[f'layers_{i}'] = {'block': {'norm': {
      'mean': rng.normal(size=cout) / 2, 'var': rng.uniform(0.3, 2.0, cout)}}}
    if network['name'] == 'resnet':
      params[f'layers_{i}']['shortcut'] = {'kernel': kernel(1, 1, cin, cout)}
    cin = cout
  params[f'layers_{len(filters)}'] = {
    'dense': {'kernel': kernel(cin, classes), 'bias': rng.normal(size=classes) / 2}}
  x = rng.uniform(-1, 1, size=(batch, size, size, channels))
  mask = np.arange(batch) % 2 == 0
  labels = np.where(mask, rng.integers(classes, size=batch), -1)
  return params, stats, x, labels, mask


def leaf_paths(tree, prefix=()):
  """Lists the path of every leaf."""
  if not isinstance(tree, dict):
    return [prefix]
  return [path for name in tree for path in leaf_paths(tree[name], (*prefix, name))]


def at(tree, path):
  """Looks up a leaf."""
  for name in path:
    tree = tree[name]
  return tree


def layer_functions(network, params, norm):
  """The layers from torch's own operations; norm(i, u, scale, bias) stands for batch norm."""
  def tensor(*path):
    return torch.tensor(np.asarray(at(params, path), dtype=np.float64))

  def pool(a, kind):
    if kind == 'global':
      return F.adaptive_avg_pool2d(a, 1).flatten(1)
    if kind == 'none':
      return a
    return (F.avg_pool2d if network['pooling'] == 'mean' else F.max_pool2d)(a, 2)

  n = network['blocks_per_group']
  if network['name'] == 'resnet':
    paddings = [1] * (3 * n)
    pools = ['none'] * (n - 1) + ['half'] + ['none'] * (n - 1) + ['half']
    pools += ['none'] * (n - 1) + ['global']
  else:
    paddings = [1, 2, 2, 0, 2, 0, 0, 0]
    pools = ['none', 'none', 'half', 'none', 'none', 'half', 'none', 'global']

  def conv_layer(i):
    name = f'layers_{i}'
    kernel = tensor(name, 'block', 'conv', 'kernel').permute(3, 2, 0, 1)
    scale, bias = tensor(name, 'block', 'norm', 'scale'), tensor(name, 'block', 'norm', 'bias')

    def apply(z):
      v = norm(i, F.conv2d(z, kernel, padding=paddings[i]), scale, bias)
      if network['activation'] == 'sigmoid':
        a = torch.sigmoid(v)
      else:
        a = F.leaky_relu(v, network['negative_slope'])
      if network['name'] == 'resnet':
        a = a + F.conv2d(z, tensor(name, 'shortcut', 'kernel').permute(3, 2, 0, 1))
      return pool(a, pools[i])
    return apply

  last = f'layers_{len(paddings)}'
  dense_kernel, dense_bias = tensor(last, 'dense', 'kernel'), tensor(last, 'dense', 'bias')
  return [conv_layer(i) for i in range(len(paddings))] + [lambda z: z @ dense_kernel + dense_bias]


def nchw(array):
  """NHWC numpy to an NCHW tensor."""
  tensor = torch.tensor(array)
  return tensor.permute(0, 3, 1, 2) if tensor.dim() == 4 else tensor


@pytest.mark.parametrize('pooling', ['mean', 'max'])
def test_frozen_reconstructions_are_jacobians_per_observation(pooling):
  network = {**RESNET, 'pooling': pooling}
  params, stats, x, labels, mask = random_problem(network, 8, 2)
  moments = torch_oracle.batch_moments(network, params, x)

  def norm(i, u, scale, bias):
    fixed = moments[f'layers_{i}']['block']['norm']
    mean, var = torch.tensor(fixed['mean']), torch.tensor(fixed['var'])
    return F.batch_norm(u, mean, var, scale, bias, training=False, eps=1e-5)

  layers = layer_functions(network, params, norm)
  _, _, activations, reconstructions = torch_oracle.loss_and_gradients(
    network, params, stats, x, labels, mask, 'multiscale', 'frozen')
  assert len(activations) == 5 and len(reconstructions) == 4
  for n in range(2):
    for l in range(4):
      def rest(z, layers=layers[l:]):
        for layer in layers:
          z = layer(z)
        return z[0]
      z = nchw(activations[l][n:n + 1])
      jacobian = torch.autograd.functional.jacobian(rest, z)
      logits = torch.tensor(activations[-1][n])
      np.testing.assert_allclose(rest(z).numpy(), logits.numpy(), rtol=1e-10, atol=1e-12)
      r = torch.einsum('k,k...->...', logits, jacobian)
      np.testing.assert_allclose(
        nchw(reconstructions[l][n:n + 1]).numpy(), r.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize('train', [True, False])
@pytest.mark.parametrize('mode', torch_oracle.INVERSE_MODES)
@pytest.mark.parametrize('case', CASES)
def test_activations_and_reconstructions_against_automatic_differentiation(case, mode, train):
  network, size = CASES[case]
  params, stats, x, labels, mask = random_problem(network, size, 4)

  def norm(i, u, scale, bias):
    running = stats[f'layers_{i}']['block']['norm']
    mean, var = torch.tensor(running['mean']), torch.tensor(running['var'])
    if not train:
      return F.batch_norm(u, mean, var, scale, bias, training=False, eps=1e-5)
    v = F.batch_norm(u, None, None, scale, bias, training=True, eps=1e-5)
    if mode == 'batch':
      return v
    if mode == 'frozen':
      var = u.detach().var((0, 2, 3), correction=0)
    linear = u * (scale / torch.sqrt(var + 1e-5))[:, None, None]
    # The forward value of the batch norm, with the derivative of a linear map.
    return (v - linear).detach() + linear

  chain = [nchw(x).requires_grad_()]
  for layer in layer_functions(network, params, norm):
    chain.append(layer(chain[-1]))
  expected = torch.autograd.grad(chain[-1], chain[:-1], grad_outputs=chain[-1].detach())
  _, _, activations, reconstructions = torch_oracle.loss_and_gradients(
    network, params, stats, x, labels, mask, 'multiscale', mode, train)
  alone = torch_oracle.forward(network, params, x, stats, train)
  assert len(activations) == len(alone) == len(chain)
  for z, again, want in zip(activations, alone, chain):
    np.testing.assert_allclose(nchw(z).numpy(), want.detach().numpy(), rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(z, again)
  assert len(reconstructions) == len(expected)
  for r, want in zip(reconstructions, expected):
    np.testing.assert_allclose(nchw(r).numpy(), want.numpy(), rtol=1e-8, atol=1e-12)


def check_finite_differences(network, size, objective, mode, train=True, **options):
  """Compares the oracle's gradient with central differences, one random entry per leaf."""
  params, stats, x, labels, mask = random_problem(network, size, 4)

  def evaluate(candidate):
    return torch_oracle.loss_and_gradients(
      network, candidate, stats, x, labels, mask, objective, mode, train, **options)[:2]

  _, gradients = evaluate(params)
  assert leaf_paths(gradients) == leaf_paths(params)
  rng = np.random.default_rng(1)
  step = 1e-6
  for path in leaf_paths(params):
    assert at(gradients, path).shape == at(params, path).shape
    index = tuple(rng.integers(n) for n in at(params, path).shape)
    values = []
    for sign in (1, -1):
      moved = copy.deepcopy(params)
      at(moved, path)[index] += sign * step
      values.append(evaluate(moved)[0])
    difference = (values[0] - values[1]) / (2 * step)
    np.testing.assert_allclose(
      at(gradients, path)[index], difference, rtol=1e-5, atol=1e-8, err_msg=str((path, index)))


@pytest.mark.parametrize('mode', torch_oracle.INVERSE_MODES)
@pytest.mark.parametrize('case', CASES)
def test_multiscale_gradient_against_finite_differences(case, mode):
  check_finite_differences(*CASES[case], 'multiscale', mode)


@pytest.mark.parametrize('objective', torch_oracle.OBJECTIVES)
def test_gradient_of_every_objective_against_finite_differences(objective):
  options = {'alpha': 0.7, 'beta': 0.2} if objective == 'convex' else {}
  check_finite_differences(RESNET, 8, objective, 'frozen', **options)


def test_gradient_with_running_statistics_against_finite_differences():
  check_finite_differences(RESNET, 8, 'multiscale', 'frozen', train=False)


@pytest.mark.parametrize('objective', torch_oracle.OBJECTIVES)
def test_loss_is_the_papers_expression_of_the_activations(objective):
  params, stats, x, labels, mask = random_problem(RESNET, 8, 5)
  options = {'alpha': 0.7, 'beta': 0.2} if objective == 'convex' else {}
  loss, _, activations, reconstructions = torch_oracle.loss_and_gradients(
    RESNET, params, stats, x, labels, mask, objective, 'frozen', **options)
  total = 0.0
  for n in range(5):
    exponentials = np.exp(activations[-1][n])
    p = exponentials / exponentials.sum()
    ce = -np.log(p[labels[n]]) if mask[n] else 0.0
    e = 0.0 if mask[n] else -np.sum(p * np.log(p))
    norms = [np.sum((z[n] - r[n]) ** 2) for z, r in zip(activations, reconstructions)]
    means = [np.mean((z[n] - r[n]) ** 2) for z, r in zip(activations, reconstructions)]
    total += {
      'supervised': ce / np.log(4),
      'entropy': (ce + e) / np.log(4),
      'global': (ce + e) / np.log(4) + means[0],
      'multiscale': (ce + e) / np.log(4) + np.mean(means),
      'convex': 0.7 * ce + 0.3 * 0.2 * e + 0.3 * 0.8 * norms[0],
    }[objective]
  assert loss == pytest.approx(total / 5, rel=1e-12)
