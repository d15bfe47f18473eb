"""Runs one job in Dagster: thin assets and checks, config, lineage, I/O manager, resources and the runner.

``operations`` keeps many jobs running; ``stages`` holds the work on the data.
"""
