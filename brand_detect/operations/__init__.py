"""Work over many jobs, or finished ones: inbox, retention, retries, monitoring, exports, comparison, sweep and others.

Each module or package that Dagster runs offers ``definitions(services)``; ``rebuild`` and ``sweep`` run from the
command line alone and have none. Running one job belongs to ``orchestration``, which does not import this package.
"""
