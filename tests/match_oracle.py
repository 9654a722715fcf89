"""An independent NumPy oracle of MixMatch, FlexMatch, FreeMatch and SoftMatch, from the papers.

  Berthelot et al. 2019: MixMatch.
  Zhang et al. 2021: FlexMatch.
  Wang et al. 2023: FreeMatch.
  Chen et al. 2023: SoftMatch.

Everything is in float64 and in loops over observations and classes. A method's object holds what it
keeps between steps. A loss is a number, the mean over the unlabeled observations, those whose mask
is 0; it is a function of the logits of strong views, and all else is a constant.
"""

import math

import numpy as np


def softmax(row):
  """Returns p_c = exp z_c / sum_j exp z_j of one observation's logits [C], a list."""
  top = max(row)
  powers = [math.exp(z - top) for z in row]
  return [power / sum(powers) for power in powers]


def argmax(row):
  """Returns the class of the largest entry [C]; of equal ones, the first."""
  best = 0
  for c in range(1, len(row)):
    if row[c] > row[best]:
      best = c
  return best


def cross_entropy(target, logits):
  """Returns H(target, p) = -sum_c target_c log p_c of a distribution and logits [C]."""
  return -sum(t * math.log(p) for t, p in zip(target, softmax(logits), strict=True))


def one_hot(c, num_classes):
  """Returns the distribution [C] that is all on class c."""
  return [1.0 if k == c else 0.0 for k in range(num_classes)]


def unlabeled(mask):
  """Returns the indices of the unlabeled observations."""
  return [n for n in range(len(mask)) if mask[n] == 0]


def labeled_cross_entropy(logits, labels, mask):
  """Returns the mean cross-entropy of labeled observations."""
  losses = [
    cross_entropy(one_hot(labels[n], len(logits[n])), logits[n])
    for n in range(len(mask)) if mask[n] == 1
  ]
  return sum(losses) / len(losses)


MAPPINGS = {
  'convex': lambda x: x / (2 - x),
  'linear': lambda x: x,
  'concave': lambda x: math.log(x + 1) / math.log(2),
}


class FlexMatch:
  """Curriculum pseudo labeling (Zhang et al. 2021, Algorithm 1)."""

  def __init__(self, num_unlabeled, num_classes, tau, mapping='convex', warmup=True):
    self.num_unlabeled, self.num_classes, self.tau = num_unlabeled, num_classes, tau
    self.mapping, self.warmup = MAPPINGS[mapping], warmup
    self.labels = {}  # u_n by the image's number; images that are unused are not in here

  def thresholds(self):
    """Returns T(c) = M(beta(c)) tau [C] (Eqs. 5, 6, 11 and 12)."""
    sigma = [0] * self.num_classes
    for label in self.labels.values():
      sigma[label] += 1
    unused = self.num_unlabeled - sum(sigma)
    largest = max(sigma)
    if self.warmup and largest < unused:
      largest = unused
    if not largest:
      return [0.0] * self.num_classes
    return [self.mapping(s / largest) * self.tau for s in sigma]

  def loss(self, weak, strong, mask):
    """Returns 1/(mu B) sum_b 1(max q_b > T(argmax q_b)) H(argmax q_b, p_b) (Eq. 8)."""
    thresholds, total = self.thresholds(), 0.0
    for n in unlabeled(mask):
      q = softmax(weak[n])
      c = argmax(q)
      if q[c] > thresholds[c]:
        total += cross_entropy(one_hot(c, self.num_classes), strong[n])
    return total / len(unlabeled(mask))

  def update(self, weak, positions, mask):
    """Takes the labels of the images that are predicted above tau, one after the other."""
    for n in unlabeled(mask):
      q = softmax(weak[n])
      if max(q) > self.tau:
        self.labels[int(positions[n])] = argmax(q)


class FreeMatch:
  """Self-adaptive thresholds and fairness (Wang et al. 2023)."""

  def __init__(self, num_classes, decay, weight, fairness_weight, bounds=(0.0, 1.0)):
    self.num_classes, self.decay, self.bounds = num_classes, decay, bounds
    self.weight, self.fairness_weight = weight, fairness_weight
    self.tau = 1 / num_classes
    self.p = [1 / num_classes] * num_classes
    self.h = [1 / num_classes] * num_classes

  def update(self, weak, mask):
    """Moves tau_t, p_t and h_t by a batch (Eqs. 5 and 6, and h_t of the fairness)."""
    chosen, keep = unlabeled(mask), self.decay
    confidence, p, h = 0.0, [0.0] * self.num_classes, [0.0] * self.num_classes
    for n in chosen:
      q = softmax(weak[n])
      confidence += max(q) / len(chosen)
      h[argmax(q)] += 1 / len(chosen)
      for c in range(self.num_classes):
        p[c] += q[c] / len(chosen)
    self.tau = keep * self.tau + (1 - keep) * confidence
    self.p = [keep * old + (1 - keep) * new for old, new in zip(self.p, p, strict=True)]
    self.h = [keep * old + (1 - keep) * new for old, new in zip(self.h, h, strict=True)]

  def thresholds(self):
    """Returns tau_t(c) = MaxNorm(p_t(c)) tau_t [C] (Eq. 7), within the bounds."""
    low, high = self.bounds
    return [min(max(p / max(self.p) * self.tau, low), high) for p in self.p]

  def chosen(self, weak, mask):
    """Returns the unlabeled observations above the threshold of their class."""
    thresholds, found = self.thresholds(), []
    for n in unlabeled(mask):
      q = softmax(weak[n])
      if q[argmax(q)] > thresholds[argmax(q)]:
        found.append(n)
    return found

  def loss(self, weak, strong, mask):
    """Returns w_u L_u + w_f L_f."""
    total = 0.0
    for n in self.chosen(weak, mask):
      total += cross_entropy(one_hot(argmax(weak[n]), self.num_classes), strong[n])
    fair = self.fairness(self.chosen(weak, mask), strong)
    return self.weight * total / len(unlabeled(mask)) + self.fairness_weight * fair

  def fairness(self, chosen, strong):
    """Returns L_f = -H(SumNorm(p_t / h_t), SumNorm(p / h)), H(a, b) = -sum_c a_c log b_c.

    A class that no chosen strong view has is 0 / 0 in the second distribution, and left out.
    """
    if not chosen:
      return 0.0
    p, h = [0.0] * self.num_classes, [0] * self.num_classes
    for n in chosen:
      prediction = softmax(strong[n])
      h[argmax(prediction)] += 1
      for c in range(self.num_classes):
        p[c] += prediction[c]
    a = [self.p[c] / self.h[c] for c in range(self.num_classes)]
    b = [p[c] / h[c] if h[c] else 0.0 for c in range(self.num_classes)]
    cross = 0.0
    for c in range(self.num_classes):
      if h[c]:
        cross -= a[c] / sum(a) * math.log(b[c] / sum(b))
    return -cross


class SoftMatch:
  """Truncated Gaussian weights and uniform alignment (Chen et al. 2023)."""

  def __init__(self, num_classes, decay, num_deviations=1.0, alignment=True):
    self.num_classes, self.decay = num_classes, decay
    self.num_deviations, self.alignment = num_deviations, alignment
    self.p = None
    self.mu, self.variance = 1 / num_classes, 1.0

  def aligned(self, q):
    """Returns UA(q) = Normalize(q u(C) / E[p]) [C] (Eq. 9)."""
    if not self.alignment:
      return q
    raw = [q[c] * (1 / self.num_classes) / self.p[c] for c in range(self.num_classes)]
    return [value / sum(raw) for value in raw]

  def update(self, weak, mask):
    """Moves E[p], the mean and the unbiased variance by a batch (Eqs. 6 and 7)."""
    batch = [softmax(weak[n]) for n in unlabeled(mask)]
    keep, size = self.decay, len(batch)
    mean = [sum(q[c] for q in batch) / size for c in range(self.num_classes)]
    self.p = mean if self.p is None else [
      keep * old + (1 - keep) * new for old, new in zip(self.p, mean, strict=True)]
    confidence = [max(self.aligned(q)) for q in batch]
    mu = sum(confidence) / size
    variance = sum((value - mu) ** 2 for value in confidence) / size
    self.mu = keep * self.mu + (1 - keep) * mu
    self.variance = keep * self.variance + (1 - keep) * size / (size - 1) * variance

  def weight(self, q):
    """Returns lambda(q) / lambda_max (Eq. 5, with max UA(q))."""
    confidence = max(self.aligned(q))
    if confidence >= self.mu:
      return 1.0
    sigma = math.sqrt(self.variance) / self.num_deviations
    return math.exp(-(confidence - self.mu) ** 2 / (2 * sigma ** 2))

  def loss(self, weak, strong, mask):
    """Returns 1/B_U sum_i lambda(q_i) H(argmax q_i, p_i) (Eq. 8)."""
    total = 0.0
    for n in unlabeled(mask):
      q = softmax(weak[n])
      total += self.weight(q) * cross_entropy(one_hot(argmax(q), self.num_classes), strong[n])
    return total / len(unlabeled(mask))


# MixMatch.

def sharpen(p, temperature):
  """Returns p_c^(1/T) / sum_j p_j^(1/T) [C] (Berthelot et al. 2019, Eq. 7)."""
  powers = [value ** (1 / temperature) for value in p]
  return [power / sum(powers) for power in powers]


def guess(logits, temperature):
  """Returns the sharpened mean prediction [C] of the logits of one image's K views."""
  views = [softmax(row) for row in logits]
  mean = [sum(view[c] for view in views) / len(views) for c in range(len(views[0]))]
  return sharpen(mean, temperature)


def mixup(first, second, share):
  """Returns lambda' x_1 + (1 - lambda') x_2, lambda' = max(lambda, 1 - lambda) (Eqs. 8 to 11)."""
  kept = max(share, 1 - share)
  return kept * np.asarray(first) + (1 - kept) * np.asarray(second)


def mixmatch(logits_x, targets_x, logits_u, targets_u, weight):
  """Returns L_X + lambda_U L_U (Eqs. 3 to 5) of the mixed images X' and U', a number.

  L_X is the mean cross-entropy over X', L_U the mean of the squared differences over U' and the
  classes.
  """
  loss_x = sum(map(cross_entropy, targets_x, logits_x)) / len(logits_x)
  total = 0.0
  for target, logits in zip(targets_u, logits_u, strict=True):
    for q, p in zip(target, softmax(logits), strict=True):
      total += (q - p) ** 2
  return loss_x + weight * total / (len(logits_u) * len(logits_u[0]))
