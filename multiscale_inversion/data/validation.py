"""Hold out training images for validation, on which a training may choose its end."""

import numpy as np

from multiscale_inversion.data.dataset import Dataset
from multiscale_inversion.errors import UserError, check_whole


def hold_out(dataset: Dataset, num_validation: int) -> Dataset:
  """Move labeled training images to the validation part.

  They are drawn uniformly from the images that have a label, and are the same for every seed, so
  that the runs of several seeds are measured on one set. Neither their labels nor the images
  themselves are trained on.

  Args:
    dataset: without a validation part, unless `num_validation` is 0.
    num_validation: how many; with 0, the data set is returned as it is.

  Raises:
    UserError: if the data set has a validation part of its own, or if not every class would keep an
      image with a label.
  """
  check_whole('num_validation', num_validation, 0)
  if not num_validation:
    return dataset
  if len(dataset.validation_labels):
    raise UserError(
        f'{num_validation}, but the data set has a validation part of '
        f'{len(dataset.validation_labels)} images; allowed: 0',
        'num_validation',
    )
  having_label = np.flatnonzero(dataset.train_labels >= 0)
  drawn = np.random.RandomState(0).permutation(having_label)[:num_validation]
  held = np.zeros(len(dataset.train_labels), bool)
  held[drawn] = True
  before, after = (np.unique(labels[labels >= 0]) for labels in (
      dataset.train_labels, dataset.train_labels[~held]
  ))
  if len(drawn) < num_validation or len(after) < len(before):
    raise UserError(
        f'{num_validation} of {len(having_label)} training images with a label leave some class '
        'without one; allowed: fewer',
        'num_validation',
    )
  return dataset._replace(
      train_images=dataset.train_images[~held],
      train_labels=dataset.train_labels[~held],
      validation_images=dataset.train_images[held],
      validation_labels=dataset.train_labels[held],
  )
