"""The rows of the paper's tables, and studies of ours, as named settings."""
