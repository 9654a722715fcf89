"""The multiscale training step in PyTorch, as its user would write it: a peer to be timed against.

Reconstructions by one `torch.autograd.grad(..., create_graph=True)` for all layers, batch norm and
convolution PyTorch's own, Adam. The inverse goes through the batch's statistics (`batch`), as it
does when batch norm is the library's. Not an oracle of values: that is `tests/torch_oracle.py`.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from multiscale_inversion.networks import large_cnn

_PADDING = {'same': 1, 'valid': 0, 'full': 2}


class _ConvBlock(nn.Module):
  def __init__(self, channels, features, size, padding):
    super().__init__()
    width = _PADDING[padding] if size == 3 else 0
    self.conv = nn.Conv2d(channels, features, size, padding=width, bias=False)
    self.norm = nn.BatchNorm2d(features)

  def forward(self, z):
    return F.dropout(F.leaky_relu(self.norm(self.conv(z)), 0.01), 0.2, self.training)


class _CNNLayer(nn.Module):
  def __init__(self, channels, features, size, padding, pool):
    super().__init__()
    self.block, self.pool = _ConvBlock(channels, features, size, padding), pool

  def forward(self, z):
    return _pool(self.block(z), self.pool)


class _ResidualBlock(nn.Module):
  def __init__(self, channels, features, pool):
    super().__init__()
    self.shortcut = nn.Conv2d(channels, features, 1, bias=False)
    self.block, self.pool = _ConvBlock(channels, features, 3, 'same'), pool

  def forward(self, z):
    return _pool(self.shortcut(z) + self.block(z), self.pool)


def _pool(z, size):
  if size == 0:
    return z.mean((2, 3))
  return z if size == 1 else F.avg_pool2d(z, size)


def large_cnn_layers(channels: int, num_classes: int, width: int = 96) -> nn.ModuleList:
  """Return the Large CNN."""
  layers = []
  for multiple, size, padding, pool in large_cnn.LAYERS:
    features = multiple * width
    layers.append(_CNNLayer(channels, features, size, padding, pool))
    channels = features
  return nn.ModuleList([*layers, nn.Linear(channels, num_classes)])


def resnet_layers(
    channels: int, num_classes: int, blocks_per_group: int, width: int
) -> nn.ModuleList:
  """Resnet n-k."""
  layers = []
  for group in range(3):
    for index in range(blocks_per_group):
      last = index == blocks_per_group - 1
      pool = (2, 2, 0)[group] if last else 1
      layers.append(_ResidualBlock(channels, width * 2**group, pool))
      channels = width * 2**group
  return nn.ModuleList([*layers, nn.Linear(channels, num_classes)])


def make_step(
    layers: nn.ModuleList, objective: str, dtype: torch.dtype = torch.float32
) -> Callable[..., torch.Tensor]:
  """Return the step `(images [N, C, H, W], labels [N], mask [N]) -> loss`, which updates `layers`.

  Args:
    layers: the network.
    objective: `multiscale` or `supervised`.
    dtype: float32, or bfloat16 for automatic mixed precision.
  """
  optimizer = torch.optim.Adam(layers.parameters(), 0.002)
  mixed = dtype != torch.float32

  def step(images, labels, mask):
    with torch.autocast(images.device.type, dtype=dtype, enabled=mixed):
      z = images.requires_grad_(True)
      activations = [z]
      for layer in layers:
        z = layer(z)
        activations.append(z)
      logits = z.float()
      logs = F.log_softmax(logits, 1)
      per_observation = mask * F.nll_loss(logs, labels, reduction='none')
      if objective == 'multiscale':
        per_observation = per_observation - (1 - mask) * (logs.exp() * logs).sum(1)
      loss = per_observation.mean() / math.log(logits.shape[1])
      if objective == 'multiscale':
        inner = activations[:-1]
        reconstructions = torch.autograd.grad(z, inner, z, create_graph=True)
        errors = [
            (a - r).float().square().flatten(1).mean(1).mean()
            for a, r in zip(inner, reconstructions, strict=True)
        ]
        loss = loss + sum(errors) / len(errors)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()

  return step
