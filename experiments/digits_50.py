"""scikit-learn's digits with 50 labels: the method in minutes, without a download.

What it changes of the paper's protocol, and how that was chosen, stands in
`multiscale_inversion/configs/digits_50.py`, which this is.

    python -m experiments.main --config=experiments/digits_50.py
"""

from multiscale_inversion.configs.digits_50 import get_config

__all__ = ['get_config']
