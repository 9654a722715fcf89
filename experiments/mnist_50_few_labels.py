"""MNIST with 50 labels in minutes of two cores: the recipe for few labels on the paper's data.

Not in the paper. Resnet2-16 with max pooling (80,618 parameters), 3,000 steps of 50 observations,
1.25 epochs.

    python -m experiments.main --config=experiments/mnist_50_few_labels.py
"""

from multiscale_inversion.configs.mnist_50_few_labels import get_config

__all__ = ['get_config']
