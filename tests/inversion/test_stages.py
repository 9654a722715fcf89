import jax
import jax.numpy as jnp
import numpy as np
import pytest

from multiscale_inversion import Inversion, hold_in_inverse, invert, networks, objectives
from tests import problems

pytestmark = pytest.mark.usefixtures('little_optimization')

MODES = ('frozen', 'batch', 'running')
SMALL = ('resnet', 'resnet_deep', 'resnet_max')


def _explicit_inverse(problem, train, jacobian=jax.jacfwd):
  """Activations to (dz^(L)/dz^(l))^T z^(L) for every l, by Jacobian matrices of the plain network.

  A perturbation is added to each activation, and z^(L) differentiated with respect to all of them:
  by default in forward mode, column by column, so that nothing is shared with the vjp under test.
  """

  def apply_one(module, index, z):
    return module.layers[index](z, train=train)

  def output(perturbations, x):
    z = x
    for index, perturbation in enumerate(perturbations):
      z = problem.network.apply(
          problem.variables(), index, z + perturbation, method=apply_one, mutable=['batch_stats']
      )[0]
    return z

  @jax.jit
  def reconstructions(activations):
    zeros = tuple(jnp.zeros_like(z) for z in activations[:-1])
    matrices = jacobian(output)(zeros, activations[0])  # each [N, C, N, ...]
    return [jnp.tensordot(activations[-1], matrix, axes=2) for matrix in matrices]

  return reconstructions


def _assert_equal(found, expected):
  assert len(found) == len(expected)
  for layer, (ours, theirs) in enumerate(zip(found, expected)):
    # An entry is a sum of terms as large as the largest entries: its rounding error is of their
    # size (2e-11 was seen beside values of 150), whatever its own.
    atol = 1e-12 * max(1.0, float(np.abs(theirs).max()))
    np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=atol, err_msg=f'layer {layer}')


def _with_the_batchs_statistics(problem):
  """The problem with the batch's own statistics as running ones (an update with momentum 0)."""
  network = problem.network.clone(batch_norm_momentum=0.0)

  @jax.jit
  def update(variables, x):
    return network.apply(variables, x, train=True, mutable=['batch_stats'])[1]

  updated = update(problem.variables(), jnp.asarray(problem.x))
  return problem._replace(batch_stats=updated['batch_stats'])


@pytest.mark.parametrize('case', SMALL)
def test_frozen_inverse_is_each_observations_jacobian_at_the_batchs_statistics(float64, case):
  problem = problems.make(case)
  inversion = problem.inversion()
  explicit = _explicit_inverse(_with_the_batchs_statistics(problem), train=False)
  for n in range(len(problem.x)):  # one observation at a time: the others have no part in it
    alone = [z[n : n + 1] for z in inversion.activations]
    _assert_equal([r[n : n + 1] for r in inversion.reconstructions], explicit(alone))


@pytest.mark.parametrize('case', SMALL)
def test_batch_inverse_is_the_jacobian_of_the_whole_batch(float64, case):
  problem = problems.make(case, 'batch')
  inversion = problem.inversion()
  expected = _explicit_inverse(problem, train=True)(inversion.activations)
  _assert_equal(inversion.reconstructions, expected)


@pytest.mark.parametrize('case', ['resnet_max', 'resnet_deep'])
def test_running_inverse_divides_by_the_running_deviation(float64, case):
  # Where the running statistics are the batch's own, it is the frozen inverse; elsewhere not. (The
  # comparison with PyTorch has it for statistics of any value.)
  frozen = _with_the_batchs_statistics(problems.make(case))
  network = frozen.network.clone(batch_norm_inverse='running')
  expected = frozen.inversion().reconstructions
  _assert_equal(frozen._replace(network=network).inversion().reconstructions, expected)

  larger = jax.tree.map(lambda v: 4 * v, frozen.batch_stats)
  other = frozen._replace(network=network, batch_stats=larger).inversion().reconstructions
  assert not np.allclose(other[0], expected[0])


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('case', ['resnet_max', 'resnet_deep'])
def test_in_evaluation_every_mode_is_the_jacobian_at_the_running_statistics(float64, case, mode):
  problem = problems.make(case, mode)
  inversion = problem.inversion(train=False)
  expected = _explicit_inverse(problem, train=False)(inversion.activations)
  _assert_equal(inversion.reconstructions, expected)


@pytest.mark.parametrize('mode', ['frozen', 'batch'])
def test_large_cnn_against_the_explicit_jacobian(float64, mode):
  # Eight rows and thousands of columns: the Jacobian matrices are taken row by row.
  problem = problems.make('large_cnn', mode, batch=2)
  inversion = problem.inversion()
  if mode == 'frozen':
    problem = _with_the_batchs_statistics(problem)
  explicit = _explicit_inverse(problem, train=mode == 'batch', jacobian=jax.jacrev)
  _assert_equal(inversion.reconstructions, explicit(inversion.activations))


# Every mode and every family; all pairs are compared with PyTorch's in test_against_torch.py.
@pytest.mark.parametrize(
    ('case', 'mode'),
    [
        *(('resnet', mode) for mode in MODES),
        ('resnet_deep', 'batch'),
        ('large_cnn_sigmoid', 'frozen'),
    ],
)
def test_multiscale_gradient_against_finite_differences(float64, case, mode):
  problem = problems.make(case, mode)
  objective = objectives.create('multiscale')

  @jax.jit
  def loss(params):
    inversion = problem.inversion(params)
    return jnp.mean(objective(inversion, jnp.asarray(problem.labels), jnp.asarray(problem.mask)))

  value, gradients = jax.jit(jax.value_and_grad(loss))(problem.params)
  random = np.random.RandomState(1)
  step = 1e-6
  leaves, structure = jax.tree.flatten(problem.params)
  # A random direction of length one through all parameters, and single entries of six leaves.
  everywhere = [random.standard_normal(leaf.shape) for leaf in leaves]
  length = np.sqrt(sum(np.sum(d**2) for d in everywhere))
  directions = [[d / length for d in everywhere]]
  for index in random.choice(len(leaves), 6, replace=False):
    directions.append([np.zeros(leaf.shape) for leaf in leaves])
    directions[-1][index].flat[random.randint(leaves[index].size)] = 1.0
  for direction in directions:
    moved = [
        structure.unflatten([leaf + sign * step * d for leaf, d in zip(leaves, direction)])
        for sign in (1, -1)
    ]
    expected = (loss(moved[0]) - loss(moved[1])) / (2 * step)
    found = sum(jnp.vdot(g, d) for g, d in zip(jax.tree.leaves(gradients), direction))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7 * max(1.0, float(value)))


def test_forward_and_inverse_share_the_dropout_mask(float64):
  problem = problems.make('resnet', 'batch', batch=2)
  network = problem.network.clone(dropout_rate=0.5)
  variables, x = problem.variables(), jnp.asarray(problem.x)

  def logits(x, key):
    rngs, collections = {'dropout': key}, ['batch_stats']
    return network.apply(variables, x, train=True, rngs=rngs, mutable=collections)[0][-1]

  @jax.jit
  def inversion(x, key):
    return invert(network.stages(variables, train=True, rngs={'dropout': key}), x)[:2]

  key = jax.random.key(3)
  activations, reconstructions = inversion(x, key)
  np.testing.assert_allclose(activations[-1], jax.jit(logits)(x, key), rtol=1e-12)
  expected = jnp.tensordot(activations[-1], jax.jit(jax.jacfwd(logits))(x, key), axes=2)
  np.testing.assert_allclose(reconstructions[0], expected, rtol=1e-8, atol=1e-11)
  assert not np.allclose(inversion(x, jax.random.key(4))[0][-1], activations[-1])


def test_updated_statistics_are_those_of_apply():
  problem = problems.make('resnet')
  run = lambda variables, x: problem.network.apply(variables, x, True, mutable=['batch_stats'])
  _, expected = jax.jit(run)(problem.variables(), jnp.asarray(problem.x))
  updates = networks.merge_updates(problem.inversion().auxiliary)
  jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), updates, dict(expected)
  )
  assert networks.merge_updates([{}]) == {}


def test_every_stage_is_run_once_whatever_the_depth():
  for depth in (1, 4, 16):
    calls = []

    def stage(z, calls=calls):
      calls.append(z.shape)
      return jnp.tanh(z)

    invert([stage] * depth, jnp.ones([2, 3]))
    assert len(calls) == depth


def test_arithmetic_of_the_inversion_grows_linearly_with_depth():
  def flops(depth):
    weights = [jnp.full([64, 64], 0.1)] * depth
    run = jax.jit(lambda x, ws: invert([lambda z, w=w: jnp.tanh(z @ w) for w in ws], x)[:2])
    return run.lower(jnp.ones([8, 64]), weights).compile().cost_analysis()['flops']

  assert flops(16) / flops(4) == pytest.approx(4, rel=0.05)


def test_hold_in_inverse_is_constant_once_and_only_once(float64):
  f = lambda x: x * hold_in_inverse(x**2)
  x = 3.0
  assert float(jax.grad(f)(x)) == pytest.approx(x**2)  # innermost: x^2 is constant
  # d/dx of (inner derivative x^2, plus value x^3): the outer differentiation sees everything.
  outer = jax.grad(lambda x: jax.grad(f)(x) + f(x) * 0)(x)
  assert float(outer) == pytest.approx(2 * x)
  value = lambda x: jax.vjp(f, x)[0]
  assert float(jax.grad(value)(x)) == pytest.approx(3 * x**2)


def test_auxiliary_values_keep_their_stage():
  stages = [lambda z: (2 * z, 'first'), lambda z: z, lambda z: (z, {'n': 3})]
  inversion = invert(stages, jnp.ones([2]))
  assert isinstance(inversion, Inversion)
  assert inversion.auxiliary == ('first', None, {'n': 3})
  np.testing.assert_array_equal(inversion.reconstructions[0], 4 * np.ones(2))


@pytest.mark.parametrize(
    ('stages', 'x', 'error', 'text'),
    [
        ([], jnp.ones(2), ValueError, 'at least one stage'),
        ([lambda z: z], jnp.ones(2, int), TypeError, 'x is an array of int32'),
        ([lambda z: (z, 1, 2)], jnp.ones(2), TypeError, 'stage 0 returned a tuple of 3'),
        ([lambda z: z, lambda z: [z]], jnp.ones(2), TypeError, 'stage 1 returned is a list'),
    ],
)
def test_errors_say_what_and_where(stages, x, error, text):
  with pytest.raises(error, match=text):
    invert(stages, x)


# Rematerialization.


@pytest.mark.parametrize('mode', MODES)
def test_rematerialization_changes_no_value_and_no_gradient(float64, mode):
  network = networks.create('resnet', 3, blocks_per_group=1, width=2, batch_norm_inverse=mode)
  x = jnp.asarray(np.random.RandomState(0).standard_normal((3, 8, 8, 2)))
  variables = jax.jit(network.init)(jax.random.key(0), x)

  def loss(params, rematerialize):
    stages = network.stages(
        {**variables, 'params': params}, train=True, rngs={'dropout': jax.random.key(1)}
    )
    inversion = invert(stages, x, rematerialize=rematerialize)
    found = objectives.create('multiscale')(inversion, jnp.array([0, 1, 2]), jnp.ones(3))
    return jnp.mean(found), inversion.auxiliary

  def over_seeds(rematerialize):
    params = jax.tree.map(lambda leaf: leaf.astype(float), variables['params'])
    seeds = jax.tree.map(lambda leaf: jnp.stack([leaf, 1.1 * leaf]), params)
    run = jax.value_and_grad(lambda params: loss(params, rematerialize), has_aux=True)
    return jax.jit(jax.vmap(run))(seeds)

  for ours, plain in zip(*(jax.tree.leaves(over_seeds(flag)) for flag in (True, False))):
    np.testing.assert_allclose(ours, plain, rtol=1e-9, atol=1e-11)
