"""The Dagster layer: thin assets, config, IO manager, resources and jobs."""
