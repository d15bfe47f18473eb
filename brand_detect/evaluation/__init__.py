"""Measures the quality and speed of the pipeline: synthetic footage, scoring and benchmarks.

No job needs it; networks are trained in ``training``.
"""
