"""How good and how fast the pipeline is: synthetic footage, scoring and benchmarks, on what the product itself runs.

Nothing of a job needs it; what trains networks is in ``training``.
"""
