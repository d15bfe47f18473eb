"""Footage and pictures with known truth, the same for the same seed. It judges nothing."""
