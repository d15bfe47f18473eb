"""What keeps many jobs running: a module or package for each thing, whose ``definitions(services)`` Dagster loads.

It may use ``orchestration``, which runs one job and knows nothing of it. What the command line alone uses has none.
"""
