"""An independent PyTorch oracle of semi-supervised baselines, written from the papers alone.

  Lee 2013: Pseudo-Label: the simple and efficient semi-supervised learning method [...].
  Laine & Aila 2017: Temporal ensembling for semi-supervised learning.
  Miyato et al. 2018: Virtual adversarial training (IEEE TPAMI).
  Tarvainen & Valpola 2017: Mean teachers are better role models.
  Sohn et al. 2020: FixMatch.
  Grandvalet & Bengio 2004: Semi-supervised learning by entropy minimization.
  Kivinen & Warmuth 1997: Exponentiated gradient versus gradient descent for linear predictors.
  Chen et al. 2018: GradNorm.

Losses are sums over loops, one number for each observation ([N]); the caller reduces. Logits are
float64 [N, C] tensors on the CPU, and another dtype is an error. Nothing is drawn at random in
here: noise is an argument, and a stochastic model is the caller's affair.
"""

import math

import torch

# Arithmetic of one observation.

def _check(*tensors):
  """Refuses all but float64: an oracle that silently lost digits would be none."""
  for tensor in tensors:
    if tensor.dtype != torch.float64:
      raise TypeError(f'float64 is needed, not {tensor.dtype}')


def _log_softmax(row):
  """Returns log p_c = z_c - log sum_j exp z_j of one observation's logits z [C]."""
  top = row.detach().max()
  return row - top - torch.log(torch.exp(row - top).sum())


def _softmax(row):
  return torch.exp(_log_softmax(row))


def _argmax(row):
  """Returns the class of the largest entry [C]; of equal ones, the first."""
  values = row.detach().tolist()
  best = 0
  for c in range(1, len(values)):
    if values[c] > values[best]:
      best = c
  return best


def _mean_squared_difference(p, q):
  """Returns 1/C sum_c (p_c - q_c)^2 of two distributions [C]."""
  total = 0
  for c in range(len(p)):
    total = total + (p[c] - q[c]) ** 2
  return total / len(p)


def _kl(log_p, log_q):
  """Returns KL(p || q) = sum_c p_c (log p_c - log q_c) of two log-distributions [C]."""
  total = 0
  for c in range(len(log_p)):
    total = total + torch.exp(log_p[c]) * (log_p[c] - log_q[c])
  return total


def _unit(direction):
  """Returns each observation's d / ||d||_2, the norm over all axes but the first; 0 for d = 0."""
  units = []
  for d in direction:
    norm = torch.sqrt((d ** 2).sum())
    units.append(d / norm if norm > 0 else torch.zeros_like(d))
  return torch.stack(units)


# 1. Pseudo-label.

def pseudo_label(logits):
  """Returns -log p(argmax_c p_c) [N] (Lee 2013, Section 2.4, the unlabeled term of Eq. 15).

  The class of largest predicted probability is a constant target. Output units are a softmax.
  """
  _check(logits)
  return torch.stack([-_log_softmax(row)[_argmax(row)] for row in logits])


def pseudo_label_weight(progress, t1, t2, alpha_f):
  """Returns the weight alpha(t) of the pseudo-labels, a float (Lee 2013, Eq. 16).

  0 for t < T1; (t - T1) / (T2 - T1) alpha_f for T1 <= t < T2; alpha_f for T2 <= t.
  progress, t1 and t2 are in one unit, any.
  """
  if progress < t1:
    return 0.0
  if progress < t2:
    return (progress - t1) / (t2 - t1) * alpha_f
  return float(alpha_f)


# 2. Pi-model.

def pi_model(logits_1, logits_2):
  """Returns 1/C ||z - z~||^2 [N] (Laine & Aila 2017, Algorithm 1, without w(t) and 1/|B|).

  z, z~ are the softmax outputs of two stochastic passes; gradients go through both.
  """
  _check(logits_1, logits_2)
  return torch.stack([
    _mean_squared_difference(_softmax(a), _softmax(b)) for a, b in zip(logits_1, logits_2)])


def rampup(progress):
  """Returns exp(-5 (1 - T)^2), a float, T = progress clamped to [0, 1] (Laine & Aila 2017).

  The Gaussian ramp-up of w(t), Appendix A. It starts at exp(-5), not at 0.
  """
  t = min(max(progress, 0.0), 1.0)
  return math.exp(-5 * (1 - t) ** 2)


# 3. Temporal ensembling.

def temporal_ensembling_update(Z, z, alpha, t):
  """Returns (Z', z~), each shaped as Z (Laine & Aila 2017, Algorithm 2).

  Z' = alpha Z + (1 - alpha) z and z~ = Z' / (1 - alpha^t). z holds the softmax outputs of epoch t,
  counted from 1, and Z is 0 before the first. Both results are constants, and the inputs are kept.
  """
  _check(Z, z)
  if t < 1:
    raise ValueError(f't counts from 1, not {t}')
  Z = alpha * Z.detach() + (1 - alpha) * z.detach()
  return Z, Z / (1 - alpha ** t)


def temporal_ensembling(logits, target):
  """Returns 1/C ||z - z~||^2 [N] (Laine & Aila 2017, Algorithm 2, without w(t) and 1/|B|).

  z is the softmax of the logits; target z~ [N, C] is a constant.
  """
  _check(logits, target)
  return torch.stack([
    _mean_squared_difference(_softmax(a), b) for a, b in zip(logits, target.detach())])


# 4. Virtual adversarial training.

def vat(model, x, d, xi, epsilon, num_iterations):
  """Returns (LDS [N], r_adv shaped as x) (Miyato et al. 2018, Eqs. 5 and 6, Section 3.3).

  Args:
    model: maps x [N, ...] to logits [N, C]. Where its observations depend on one another, as with
      batch moments, g is the gradient of the sum of their divergences.
    x: inputs, float64.
    d: normal noise, shaped as x.
    xi: the finite difference's step.
    epsilon: the L2 norm of r_adv, of each observation.
    num_iterations: of the power method; after 0, r_adv is along the noise.

  d <- d / ||d||; num_iterations times, with r = xi d: g = grad_r KL(p(x) || p(x + r)) and
  d <- g / ||g||; r_adv = epsilon d. The loss is KL(p(x) || p(x + r_adv)), with p(x) and r_adv
  constants: parameters get a gradient through p(x + r_adv) alone. A gradient of exactly 0 stays 0.
  """
  _check(x, d)
  x = x.detach()
  with torch.no_grad():
    log_p = [_log_softmax(row) for row in model(x)]

  def divergence(r):
    return torch.stack([_kl(a, _log_softmax(b)) for a, b in zip(log_p, model(x + r))])

  d = _unit(d.detach())
  for _ in range(num_iterations):
    r = (xi * d).requires_grad_()
    gradient, = torch.autograd.grad(divergence(r).sum(), r)
    d = _unit(gradient)
  r_adv = epsilon * d
  return divergence(r_adv), r_adv


# 5. Mean teacher.

def mean_teacher_update(teacher_params, student_params, decay):
  """Returns theta' = decay theta' + (1 - decay) theta (Tarvainen & Valpola 2017, Eq. 1).

  Args:
    teacher_params: theta', a dict of tensors by name, before the update; it is kept.
    student_params: theta, a dict with the same names, after the optimizer's step.
    decay: the smoothing coefficient, of `ema_decay` or constant.
  """
  if teacher_params.keys() != student_params.keys():
    raise ValueError('teacher and student have different names')
  updated = {}
  for name in teacher_params:
    _check(teacher_params[name], student_params[name])
    teacher, student = teacher_params[name].detach(), student_params[name].detach()
    updated[name] = decay * teacher + (1 - decay) * student
  return updated


def ema_decay(step, decay):
  """Returns min(1 - 1/(step + 1), decay), a float (Tarvainen & Valpola 2017, their program).

  The true average until the exponential one is better: step 0 copies the student, step 1 halves.
  """
  return min(1 - 1 / (step + 1), decay)


def mean_teacher(student_logits, teacher_logits):
  """Returns 1/C ||f(x) - f'(x)||^2 [N] (Tarvainen & Valpola 2017, Section 2, the J there).

  f, f' are softmax outputs; the teacher's is a constant. The mean over classes is this oracle's
  reading, as in `pi_model`: J is stated as a norm.
  """
  _check(student_logits, teacher_logits)
  return torch.stack([
    _mean_squared_difference(_softmax(a), _softmax(b))
    for a, b in zip(student_logits, teacher_logits.detach())])


# 6. FixMatch.

def fixmatch(logits_weak, logits_strong, threshold):
  """Returns 1(max q >= tau) H(argmax q, p) [N] (Sohn et al. 2020, Eq. 4, without 1/(mu B)).

  q is the softmax of logits_weak, a constant; p that of logits_strong. Rejected observations count
  as 0: the caller divides by all of them.
  """
  _check(logits_weak, logits_strong)
  losses = []
  for weak, strong in zip(logits_weak.detach(), logits_strong):
    q = _softmax(weak)
    accepted = 1.0 if q.max().item() >= threshold else 0.0
    losses.append(accepted * -_log_softmax(strong)[_argmax(q)])
  return torch.stack(losses)


# 7. Entropy minimization.

def entropy(logits):
  """Returns H(p) = -sum_c p_c log p_c [N], in nats (Grandvalet & Bengio 2004).

  A term of the empirical conditional entropy H(Y|X), the regularizer; gradients through both p.
  """
  _check(logits)
  losses = []
  for row in logits:
    log_p = _log_softmax(row)
    total = 0
    for c in range(len(row)):
      total = total - torch.exp(log_p[c]) * log_p[c]
    losses.append(total)
  return torch.stack(losses)


# 8 and 9. Weights of losses.

def weight_gradient_rule(beta, losses, rate):
  """Returns the weights after one exponentiated-gradient step [K] (Kivinen & Warmuth 1997, EG).

  beta_k <- K beta_k exp(-rate losses_k) / sum_j beta_j exp(-rate losses_j): losses_k is the
  gradient of sum_k beta_k losses_k in beta_k, and the total weight is K in place of 1. A constant.
  """
  _check(beta, losses)
  beta, losses = beta.detach().tolist(), losses.detach().tolist()
  scaled = [b * math.exp(-rate * loss) for b, loss in zip(beta, losses, strict=True)]
  return torch.tensor([len(beta) * s / sum(scaled) for s in scaled], dtype=torch.float64)


def uniform_speed(mean_now, mean_start, power):
  """Returns weights in proportion to r_k^power, of sum K [K] (Chen et al. 2018, Section 3.2).

  L~_k = mean_now_k / mean_start_k is the inverse training rate, and r_k = L~_k / mean_j L~_j the
  relative one: what trains slowly weighs more. Eq. 1's target with no norm of a gradient. A
  constant.
  """
  _check(mean_now, mean_start)
  pairs = zip(mean_now.detach().tolist(), mean_start.detach().tolist(), strict=True)
  ratio = [now / start for now, start in pairs]
  mean = sum(ratio) / len(ratio)
  raised = [(value / mean) ** power for value in ratio]
  return torch.tensor([len(ratio) * v / sum(raised) for v in raised], dtype=torch.float64)
