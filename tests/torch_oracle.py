"""An independent PyTorch oracle for multiscale network inversion (arXiv 1802.10172).

Every reconstruction r^(l) = (dz^(L)/dz^(l))^T z^(L) is built by a backward pass written by hand, so
r is an ordinary expression of the parameters and one plain reverse pass gives the gradient of the
loss: no nested automatic differentiation is involved. Everything is float64 and on the CPU.

Images, activations and reconstructions are NHWC numpy arrays outside this module, NCHW tensors
inside. Dropout is off. Inputs must avoid kinks: a preactivation of exactly 0, or a tie in a max.
"""

import math
from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F

OBJECTIVES = ('supervised', 'entropy', 'global', 'multiscale', 'convex')
INVERSE_MODES = ('frozen', 'batch', 'running')

# (padding, pooling) of the eight convolutional layers; 0 stands for the global mean.
_CNN_LAYERS = (
  ('same', 1), ('full', 1), ('full', 2), ('valid', 1),
  ('full', 1), ('valid', 2), ('valid', 1), ('same', 0),
)


def forward(network, params, x, batch_stats=None, train=True):
  """Returns the activations z^(0..L) as NHWC numpy arrays ([N, C] after the global mean)."""
  with torch.no_grad():
    activations, _ = _run(network, _tensors(params), batch_stats, _nchw(x), train)
  return [_nhwc(z) for z in activations]


def batch_moments(network, params, x):
  """Returns the batch's mean and biased variance at every batch norm, as a batch_stats tree."""
  with torch.no_grad():
    _, records = _run(network, _tensors(params), None, _nchw(x), True)
  return {
    f'layers_{i}': {'block': {'norm': {'mean': r['mean'].numpy(), 'var': r['var'].numpy()}}}
    for i, r in enumerate(records) if 'var' in r
  }


def loss_and_gradients(
  network, params, batch_stats, x, labels, mask, objective, inverse_mode, train=True, *,
  alpha=None, beta=None, differentiate_target=True,
):
  """Returns (loss, gradients, activations z^(0..L), reconstructions r^(0..L-1)).

  mask[n] is 1 where observation n is labeled; the other labels are ignored, whatever they are.
  batch_stats may be None where no running statistics are needed. alpha and beta are Eq. 5's, for
  the objective 'convex' only. differentiate_target=False stops the gradient at the targets z^(l).
  """
  if objective not in OBJECTIVES:
    raise ValueError(f'unknown objective {objective!r}')
  if inverse_mode not in INVERSE_MODES:
    raise ValueError(f'unknown inverse mode {inverse_mode!r}')
  if (objective == 'convex') != (alpha is not None and beta is not None):
    raise ValueError("alpha and beta go with the objective 'convex', and only with it")

  leaves = []
  tensors = _tensors(params, leaves)
  activations, records = _run(network, tensors, batch_stats, _nchw(x), train)
  reconstructions = _invert(
    network, tensors, batch_stats, activations, records, inverse_mode, train
  )
  loss = _loss(
    activations, reconstructions, labels, mask, objective, alpha, beta, differentiate_target
  )
  gradients = iter(torch.autograd.grad(loss, leaves))
  return (
    loss.item(),
    _fill(tensors, gradients),
    [_nhwc(z) for z in activations],
    [_nhwc(r) for r in reconstructions],
  )


def _loss(activations, reconstructions, labels, mask, objective, alpha, beta, differentiate_target):
  logits = activations[-1]
  labeled = torch.as_tensor(np.asarray(mask)).to(torch.bool)
  # Unlabeled observations may carry -1, which is no valid index; their entry is masked out below.
  classes = torch.where(labeled, torch.as_tensor(np.asarray(labels)).to(torch.int64), 0)
  log_probabilities = torch.log_softmax(logits, dim=1)
  nll = -log_probabilities.gather(1, classes[:, None])[:, 0]
  cross_entropy = labeled * nll
  entropy = ~labeled * -(log_probabilities.exp() * log_probabilities).sum(1)
  log_c = math.log(logits.shape[1])

  def squared_norm(l):
    target = activations[l] if differentiate_target else activations[l].detach()
    return (target - reconstructions[l]).flatten(1).square().sum(1)

  def size(l):
    return activations[l][0].numel()

  if objective == 'supervised':
    per_observation = cross_entropy / log_c
  elif objective == 'entropy':
    per_observation = (cross_entropy + entropy) / log_c
  elif objective == 'global':
    per_observation = (cross_entropy + entropy) / log_c + squared_norm(0) / size(0)
  elif objective == 'multiscale':
    depth = len(reconstructions)
    terms = sum(squared_norm(l) / size(l) for l in range(depth))
    per_observation = (cross_entropy + entropy) / log_c + terms / depth
  else:
    per_observation = (
      alpha * cross_entropy
      + (1 - alpha) * beta * entropy
      + (1 - alpha) * (1 - beta) * squared_norm(0)
    )
  return per_observation.mean()


def _plan(network, depth):
  """Returns (padding, pooling) for every layer but the dense one."""
  if network['name'] == 'large_cnn':
    plan = _CNN_LAYERS
  elif network['name'] == 'resnet':
    n = network['blocks_per_group']
    plan = tuple(
      ('same', (2, 2, 0)[group] if block == n - 1 else 1)
      for group in range(3) for block in range(n)
    )
  else:
    raise ValueError(f"unknown network {network['name']!r}")
  if depth != len(plan) + 1:
    raise ValueError(f'{len(plan) + 1} layers expected, the parameters have {depth}')
  return plan


def _run(network, tensors, batch_stats, x, train):
  """Returns z^(0..L) and, for every layer, a record of what its backward pass needs."""
  depth = len(tensors)
  plan = _plan(network, depth)
  activations, records = [x], []
  for i in range(depth - 1):
    layer, z = tensors[f'layers_{i}'], activations[-1]
    padding, pooling = plan[i]
    norm = layer['block']['norm']
    u = _convolve(z, layer['block']['conv']['kernel'], padding)
    if train:
      mean = u.mean((0, 2, 3))
      var = (u - _channels(mean)).square().mean((0, 2, 3))
    else:
      mean, var = _running(batch_stats, i, 'mean'), _running(batch_stats, i, 'var')
    std = torch.sqrt(var + _epsilon(network))
    normalized = (u - _channels(mean)) / _channels(std)
    v = _channels(norm['scale']) * normalized + _channels(norm['bias'])
    a = _activate(network, v)
    if 'shortcut' in layer:
      a = a + _convolve(z, layer['shortcut']['kernel'], 'same')
    records.append({'mean': mean, 'var': var, 'std': std, 'normalized': normalized, 'v': v, 'a': a})
    activations.append(_pool(network, a, pooling))
  dense = tensors[f'layers_{depth - 1}']['dense']
  # Flattening in NHWC order, as the kernel's rows are; after the global mean it changes nothing.
  z = activations[-1]
  flat = z if z.dim() == 2 else z.permute(0, 2, 3, 1).flatten(1)
  activations.append(flat @ dense['kernel'] + dense['bias'])
  records.append({})
  return activations, records


def _invert(network, tensors, batch_stats, activations, records, inverse_mode, train):
  """Returns r^(0..L-1), by the adjoint of every layer in turn, from the last to the first."""
  depth = len(tensors)
  plan = _plan(network, depth)
  g = activations[-1] @ tensors[f'layers_{depth - 1}']['dense']['kernel'].T
  if activations[-2].dim() == 4:
    n, c, h, w = activations[-2].shape
    g = g.reshape(n, h, w, c).permute(0, 3, 1, 2)
  reconstructions = [g]
  for i in reversed(range(depth - 1)):
    layer, record = tensors[f'layers_{i}'], records[i]
    padding, pooling = plan[i]
    g = _pool_adjoint(network, reconstructions[0], record['a'], pooling)
    h = g * _activation_slope(network, record['v'])
    h = h * _channels(layer['block']['norm']['scale'])
    if not train or inverse_mode == 'frozen':
      # The vjp takes the statistics as constants, but `std` stays in the graph of the parameters.
      h = h / _channels(record['std'])
    elif inverse_mode == 'batch':
      # The classic batch norm backward pass: the statistics depend on the whole batch.
      xhat = record['normalized']
      centered = h - _channels(h.mean((0, 2, 3)))
      h = (centered - xhat * _channels((h * xhat).mean((0, 2, 3)))) / _channels(record['std'])
    else:
      var = _running(batch_stats, i, 'var')
      h = h / _channels(torch.sqrt(var + _epsilon(network)))
    r = _convolve_adjoint(h, layer['block']['conv']['kernel'], padding)
    if 'shortcut' in layer:
      r = r + _convolve_adjoint(g, layer['shortcut']['kernel'], 'same')
    reconstructions.insert(0, r)
  return reconstructions


def _padding_width(kernel, padding):
  size = kernel.shape[0]
  if kernel.shape[1] != size or size % 2 == 0:
    raise ValueError('kernels must be square and of odd size')
  return {'same': (size - 1) // 2, 'valid': 0, 'full': size - 1}[padding]


def _convolve(z, kernel, padding):
  return F.conv2d(z, kernel.permute(3, 2, 0, 1), padding=_padding_width(kernel, padding))


def _convolve_adjoint(g, kernel, padding):
  return F.conv_transpose2d(g, kernel.permute(3, 2, 0, 1), padding=_padding_width(kernel, padding))


def _activate(network, v):
  if network['activation'] == 'sigmoid':
    return torch.sigmoid(v)
  if network['activation'] == 'leaky_relu':
    return torch.where(v >= 0, v, network.get('negative_slope', 0.01) * v)
  raise ValueError(f"unknown activation {network['activation']!r}")


def _activation_slope(network, v):
  if network['activation'] == 'sigmoid':
    s = torch.sigmoid(v)
    return s * (1 - s)
  slope = network.get('negative_slope', 0.01)
  return torch.where(v >= 0, torch.ones_like(v), torch.full_like(v, slope))


def _windows(a):
  """[N, C, H, W] -> [N, C, H // 2, W // 2, 4]; an odd last row or column is dropped."""
  n, c, h, w = a.shape
  a = a[:, :, :h // 2 * 2, :w // 2 * 2].reshape(n, c, h // 2, 2, w // 2, 2)
  return a.permute(0, 1, 2, 4, 3, 5).flatten(4)


def _unwindows(windows, h, w):
  """The adjoint of _windows: what was dropped gets zeros."""
  n, c, rows, columns, _ = windows.shape
  a = windows.reshape(n, c, rows, columns, 2, 2).permute(0, 1, 2, 4, 3, 5)
  a = a.reshape(n, c, 2 * rows, 2 * columns)
  return F.pad(a, (0, w - 2 * columns, 0, h - 2 * rows))


def _pool(network, a, pooling):
  if pooling == 1:
    return a
  if pooling == 0:
    return a.mean((2, 3))
  if network['pooling'] == 'mean':
    return _windows(a).mean(-1)
  if network['pooling'] == 'max':
    windows = _windows(a)
    return windows.gather(-1, windows.argmax(-1, keepdim=True))[..., 0]
  raise ValueError(f"unknown pooling {network['pooling']!r}")


def _pool_adjoint(network, g, a, pooling):
  if pooling == 1:
    return g
  h, w = a.shape[2:]
  if pooling == 0:
    return (g / (h * w))[:, :, None, None].expand(-1, -1, h, w)
  if network['pooling'] == 'mean':
    return _unwindows((g / 4)[..., None].expand(*g.shape, 4), h, w)
  winners = F.one_hot(_windows(a).argmax(-1), 4).to(g.dtype)
  return _unwindows(g[..., None] * winners, h, w)


def _channels(vector):
  return vector[None, :, None, None]


def _epsilon(network):
  return network.get('batch_norm_epsilon', 1e-5)


def _running(batch_stats, i, name):
  return _tensor(batch_stats[f'layers_{i}']['block']['norm'][name])


def _tensor(array):
  # A copy, as arrays from other frameworks may be read-only.
  return torch.tensor(np.array(array, dtype=np.float64))


def _tensors(tree, leaves=None):
  """Turns a tree of arrays into tensors; those that require gradients are added to leaves."""
  if isinstance(tree, Mapping):
    return {name: _tensors(subtree, leaves) for name, subtree in tree.items()}
  leaf = _tensor(tree)
  if leaves is not None:
    leaves.append(leaf.requires_grad_())
  return leaf


def _fill(tree, values):
  """Replaces every leaf of the tree by the next value, in the order that _tensors met them."""
  if isinstance(tree, Mapping):
    return {name: _fill(subtree, values) for name, subtree in tree.items()}
  return next(values).numpy()


def _nchw(images):
  return _tensor(images).permute(0, 3, 1, 2)


def _nhwc(tensor):
  tensor = tensor.detach()
  return (tensor.permute(0, 2, 3, 1) if tensor.dim() == 4 else tensor).numpy().copy()
