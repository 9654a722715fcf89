"""Data sets from files: prepared by TFDS, of SVHN's authors, and of one's own images."""
