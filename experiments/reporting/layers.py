"""Draw the activations of a network and their reconstructions, layer by layer."""

from collections.abc import Sequence

import numpy as np
from matplotlib import pyplot as plt

from experiments.reporting.figures import WIDTH
from multiscale_inversion.inversion.stages import Inversion


def draw(inverted: Inversion, positions: Sequence[int]) -> plt.Figure:
  """Draw z^(l) above r^(l) for l = 0, ..., L - 1, a pair of rows for each image.

  Args:
    inverted: of images, with batch norm's statistics of a batch.
    positions: which of them are drawn.
  """
  depth, rows = len(inverted.reconstructions), 2 * len(positions)
  figure, axes = plt.subplots(
      rows, depth, figsize=(WIDTH, 1.45 * rows), layout='constrained', squeeze=False
  )
  for pair, position in enumerate(positions):
    for layer in range(depth):
      z, r = (
          np.asarray(values[layer][position])
          for values in (inverted.activations, inverted.reconstructions)
      )
      above, below = axes[2 * pair, layer], axes[2 * pair + 1, layer]
      _draw_pair(above, below, z, r)
      if not pair:
        above.set_title(f'layer {layer}\n{"x".join(map(str, z.shape))}')
  for row, axis in enumerate(axes[:, 0]):
    name = r'$r^{(\ell)}$' if row % 2 else r'$z^{(\ell)}$'
    axis.annotate(
        name, (-0.1, 0.5), xycoords='axes fraction', ha='right', va='center', fontsize=11
    )
  figure.suptitle(r'$\frac{1}{D}\|z^{(\ell)} - r^{(\ell)}\|^2$ above each reconstruction')
  return figure


def _draw_pair(above: plt.Axes, below: plt.Axes, z: np.ndarray, r: np.ndarray) -> None:
  """Draw the channel of z that varies most, and that of r, in the same grey levels."""
  if z.ndim == 3:
    channel = int(np.argmax(z.std(axis=(0, 1))))
    shown = z[..., channel], r[..., channel]
  else:
    shown = _in_rows(z), _in_rows(r)
  low, high = float(np.nanmin(shown[0])), float(np.nanmax(shown[0]))
  for axis, values in zip((above, below), shown, strict=True):
    axis.imshow(values, cmap='gray', vmin=low, vmax=high)
    axis.set_axis_off()
  below.set_title(f'{np.mean((z - r) ** 2):.3f}', pad=3)


def _in_rows(values: np.ndarray) -> np.ndarray:
  """Return a layer without rows and columns as a square, filled up with NaN, which stays white."""
  values = values.ravel()
  edge = int(np.ceil(np.sqrt(values.size)))
  filled = np.full(edge * edge, np.nan)
  filled[: values.size] = values
  return filled.reshape(edge, edge)
