"""Scripts that produce the shipped weights and thresholds; not part of the wheel, and imported by nothing.

Engines run the trained networks.
"""
