"""What runs one job in Dagster: thin assets and checks, config, lineage, IO manager, resources and the runner.

What keeps many jobs running is in ``operations``; what a stage does with its data is in ``stages``.
"""
