"""The oracle of semi-supervised baselines against numbers worked out by hand."""

import math

import pytest

torch = pytest.importorskip('torch')

import baselines_oracle as oracle  # noqa: E402

LOG2, LOG3 = math.log(2), math.log(3)


def _tensor(values, grad=False):
  return torch.tensor(values, dtype=torch.float64, requires_grad=grad)


def _logits(probabilities, grad=False):
  """Logits whose softmax is known, shifted so that they are not the logarithms themselves."""
  return (torch.log(_tensor(probabilities)) + 3).requires_grad_(grad)


def _close(actual, expected, atol=1e-13):
  expected = torch.as_tensor(expected, dtype=torch.float64)
  torch.testing.assert_close(torch.as_tensor(actual, dtype=torch.float64), expected,
                             rtol=0, atol=atol)


def _two_passes():
  return (_logits([[.5, .25, .25], [.1, .2, .7]], True),
          _logits([[.25, .5, .25], [.1, .2, .7]], True))


def _mse_gradient(p, q):
  """d/dz of 1/C sum_c (p_c - q_c)^2 at p = softmax(z): 2/C p_c (e_c - sum_j p_j e_j), e = p - q."""
  p, q = _tensor(p), _tensor(q)
  e = p - q
  return 2 / len(p) * p * (e - (p * e).sum())


def test_pseudo_label():
  logits = _logits([[.5, .25, .25], [1 / 6, 1 / 3, 1 / 2]], True)
  loss = oracle.pseudo_label(logits)
  _close(loss, [LOG2, LOG2])
  gradient, = torch.autograd.grad(loss.sum(), logits)
  _close(gradient, [[-.5, .25, .25], [1 / 6, 1 / 3, -.5]])  # p - onehot.


def test_pseudo_label_of_a_tie_is_the_first_class():
  logits = _tensor([[0., 0.]], True)
  gradient, = torch.autograd.grad(oracle.pseudo_label(logits).sum(), logits)
  _close(gradient, [[-.5, .5]])


@pytest.mark.parametrize(('progress', 'expected'), [
  (0, 0), (99, 0), (100, 0), (225, .75), (350, 1.5), (600, 3), (1000, 3)])
def test_pseudo_label_weight(progress, expected):
  _close(oracle.pseudo_label_weight(progress, 100, 600, 3), expected)


def test_pseudo_label_weight_of_a_step():
  assert oracle.pseudo_label_weight(.49, .5, .5, 2) == 0
  assert oracle.pseudo_label_weight(.5, .5, .5, 2) == 2


def test_pi_model():
  first, second = _two_passes()
  loss = oracle.pi_model(first, second)
  _close(loss, [2 * .25 ** 2 / 3, 0])
  one, two = torch.autograd.grad(loss.sum(), [first, second])
  _close(one[0], _mse_gradient([.5, .25, .25], [.25, .5, .25]))
  _close(two[0], _mse_gradient([.25, .5, .25], [.5, .25, .25]))
  _close(one[0], [.25 / 3 * .75, -.25 / 3 * .625, -.25 / 3 * .125])  # By hand.


@pytest.mark.parametrize(('progress', 'expected'), [
  (-1, math.exp(-5)), (0, math.exp(-5)), (.5, math.exp(-1.25)), (1, 1), (7, 1)])
def test_rampup(progress, expected):
  _close(oracle.rampup(progress), expected)


def test_temporal_ensembling_update():
  Z = _tensor([[0., 0.]])
  Z, target = oracle.temporal_ensembling_update(Z, _tensor([[.8, .2]]), .6, 1)
  _close(Z, [[.32, .08]])
  _close(target, [[.8, .2]])  # The first target is the first output.
  Z, target = oracle.temporal_ensembling_update(Z, _tensor([[.4, .6]]), .6, 2)
  _close(Z, [[.352, .288]])
  _close(target, [[.55, .45]])  # / (1 - .36) = / .64.


def test_temporal_ensembling_counts_from_one():
  with pytest.raises(ValueError, match='from 1'):
    oracle.temporal_ensembling_update(_tensor([[0.]]), _tensor([[1.]]), .6, 0)


def test_temporal_ensembling():
  logits = _logits([[.5, .25, .25]], True)
  target = _tensor([[.25, .5, .25]], True)
  loss = oracle.temporal_ensembling(logits, target)
  _close(loss, [.125 / 3])
  one, two = torch.autograd.grad(loss.sum(), [logits, target], allow_unused=True)
  _close(one[0], _mse_gradient([.5, .25, .25], [.25, .5, .25]))
  assert two is None


class TestVat:

  def test_two_classes_of_a_linear_model(self):
    # With classes 0 and w x, the divergence depends on w r only: r_adv is +-epsilon w / ||w||.
    w = _tensor([3., 4.])
    model = lambda x: torch.stack([torch.zeros(len(x), dtype=torch.float64), x @ w], dim=1)
    x, d = _tensor([[.1, .2], [-1., .5]]), _tensor([[1., 0.], [0., -7.]])
    loss, r = oracle.vat(model, x, d, 1e-3, 2., 1)
    _close(r, [[1.2, 1.6], [-1.2, -1.6]])
    expected = []
    for z, step in ((1.1, 10.), (-1., -10.)):  # w x, and w r_adv.
      p, q = (1 / (1 + math.exp(-u)) for u in (z, z + step))
      expected.append(p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q)))
    _close(loss, expected, 1e-12)

  def test_no_iteration_keeps_the_noise(self):
    x, d = torch.zeros(2, 1, 2, dtype=torch.float64), _tensor([[[3., 4.]], [[0., -2.]]])
    _, r = oracle.vat(lambda x: x.flatten(1), x, d, 1., 10., 0)
    _close(r, [[[6., 8.]], [[0., -10.]]])

  def test_one_iteration_is_the_gradient_at_xi_d(self):
    # Logits x: the gradient of KL(p || softmax(x + r)) in r is softmax(x + r) - p. xi is large.
    x, xi, epsilon = _logits([[.5, .25, .25]]).detach(), 5., .5
    d = _tensor([[2., 3., 6.]])
    _, r = oracle.vat(lambda x: x, x, d, xi, epsilon, 1)
    scores = [p * math.exp(xi * u / 7) for p, u in zip((.5, .25, .25), (2, 3, 6))]
    g = [s / sum(scores) - p for s, p in zip(scores, (.5, .25, .25))]
    norm = math.sqrt(sum(v ** 2 for v in g))
    _close(r, [[epsilon * v / norm for v in g]])

  def test_many_iterations_find_the_largest_curvature(self):
    # The Hessian of KL at r = 0 is W^T (diag p - p p^T) W.
    generator = torch.Generator().manual_seed(0)
    W = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    x = torch.randn(5, 4, generator=generator, dtype=torch.float64)
    d = torch.randn(5, 4, generator=generator, dtype=torch.float64)
    _, r = oracle.vat(lambda x: x @ W.T, x, d, 1e-4, 1., 200)
    for x_n, r_n in zip(x, r):
      p = torch.softmax(W @ x_n, 0)
      _, vectors = torch.linalg.eigh(W.T @ (torch.diag(p) - torch.outer(p, p)) @ W)
      _close(abs(vectors[:, -1] @ r_n), 1, 1e-6)

  def test_gradient_goes_through_the_second_distribution_alone(self):
    # Cross entropy with constant target p(x): the gradient in W is (p(x + r) - p(x)) (x + r)^T.
    W = _tensor([[1., 2.], [-1., .5], [0., .3]], True)
    x, d = _tensor([[.3, -.2]]), _tensor([[1., 1.]])
    loss, r = oracle.vat(lambda x: x @ W.T, x, d, .1, 1.5, 2)
    assert not r.requires_grad
    assert W.grad is None
    gradient, = torch.autograd.grad(loss.sum(), W)
    with torch.no_grad():
      p, q = torch.softmax(W @ x[0], 0), torch.softmax(W @ (x + r)[0], 0)
      _close(gradient, torch.outer(q - p, (x + r)[0]))

  def test_a_model_that_ignores_its_input(self):
    model = lambda x: 0 * x.sum(1, keepdim=True) + _tensor([[1., 2., 3.]])
    loss, r = oracle.vat(model, _tensor([[1., 2.]]), _tensor([[1., 0.]]), 1., 1., 1)
    _close(r, [[0., 0.]])
    _close(loss, [0.])


def test_mean_teacher_update():
  teacher, student = {'w': _tensor([1., 2.]), 'b': _tensor(0.)}, {
    'w': _tensor([3., 0.], True), 'b': _tensor(1., True)}
  updated = oracle.mean_teacher_update(teacher, student, .75)
  _close(updated['w'], [1.5, 1.5])
  _close(updated['b'], .25)
  _close(teacher['w'], [1., 2.])
  assert not updated['w'].requires_grad


def test_ema_decay():
  _close([oracle.ema_decay(step, .9) for step in (0, 1, 3, 8, 9, 10, 1000)],
         [0, .5, .75, 8 / 9, .9, .9, .9])


def test_ema_decay_begins_as_the_true_average():
  teacher = {'w': _tensor(99.)}
  for step, value in enumerate((1., 2., 6.)):
    teacher = oracle.mean_teacher_update(
      teacher, {'w': _tensor(value)}, oracle.ema_decay(step, .999))
  _close(teacher['w'], 3.)


def test_mean_teacher():
  student, teacher = _two_passes()
  loss = oracle.mean_teacher(student, teacher)
  _close(loss, [.125 / 3, 0])
  one, two = torch.autograd.grad(loss.sum(), [student, teacher], allow_unused=True)
  _close(one[0], _mse_gradient([.5, .25, .25], [.25, .5, .25]))
  assert two is None


def test_fixmatch():
  weak = _logits([[.9, .1], [.6, .4], [.2, .8]], True)
  strong = _logits([[1 / 3, 2 / 3], [.5, .5], [.5, .5]], True)
  loss = oracle.fixmatch(weak, strong, .7)
  _close(loss, [LOG3, 0, LOG2])
  one, two = torch.autograd.grad(loss.sum(), [strong, weak], allow_unused=True)
  _close(one, [[-2 / 3, 2 / 3], [0, 0], [.5, -.5]])
  assert two is None


def test_fixmatch_accepts_the_threshold_itself():
  logits = _tensor([[0., 0.]])  # max q is 1/2 exactly.
  _close(oracle.fixmatch(logits, logits, .5), [LOG2])
  _close(oracle.fixmatch(logits, logits, .5 + 1e-9), [0])


def test_entropy():
  logits = _logits([[.5, .25, .25], [1 / 3, 1 / 3, 1 / 3]], True)
  loss = oracle.entropy(logits)
  _close(loss, [1.5 * LOG2, LOG3])
  gradient, = torch.autograd.grad(loss.sum(), logits)
  # -p_c (log p_c + H): log 2 times -.5 (-1 + 1.5), -.25 (-2 + 1.5) twice.
  _close(gradient, [[-.25 * LOG2, .125 * LOG2, .125 * LOG2], [0, 0, 0]])


def test_entropy_of_far_logits():
  _close(oracle.entropy(_tensor([[2000., 0.], [0., -2000.]])), [0, 0])


def test_weight_gradient_rule():
  beta = oracle.weight_gradient_rule(_tensor([1., 1., 1.]), _tensor([0., LOG2, 2 * LOG2]), 1.)
  _close(beta, [12 / 7, 6 / 7, 3 / 7])
  # 1.5 : .5 times 1/4 : 1/9 is 27 : 4, of sum 2.
  beta = oracle.weight_gradient_rule(_tensor([1.5, .5]), _tensor([LOG2, LOG3]), 2.)
  _close(beta, [54 / 31, 8 / 31])


def test_weight_gradient_rule_keeps_equal_losses():
  _close(oracle.weight_gradient_rule(_tensor([.5, 2.5, 0.]), _tensor([4., 4., 4.]), .3),
         [.5, 2.5, 0.])


def test_uniform_speed():
  now, start = _tensor([1., 3., 2.]), _tensor([2., 3., 4.])  # Ratios 1/2, 1, 1/2; r 3/4, 3/2, 3/4.
  _close(oracle.uniform_speed(now, start, 1.), [.75, 1.5, .75])
  _close(oracle.uniform_speed(now, start, 2.), [.5, 2., .5])
  _close(oracle.uniform_speed(now, start, 0.), [1., 1., 1.])


def test_single_precision_is_refused():
  with pytest.raises(TypeError, match='float64'):
    oracle.entropy(torch.zeros(1, 2))
