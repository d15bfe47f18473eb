"""Known truth: generated footage, scoring against labels, and benchmarks."""
