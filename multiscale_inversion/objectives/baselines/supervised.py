"""What all baselines add their loss to."""

from multiscale_inversion.objectives.objective import Objective
from multiscale_inversion.objectives.paper import labeled_cross_entropy


def labeled_cross_entropy_alone(reduction: str) -> Objective:
  """Cross-entropy of labeled observations in nats, as an objective that does not invert."""
  return Objective([(1.0, labeled_cross_entropy(reduction))], inverts=False)
