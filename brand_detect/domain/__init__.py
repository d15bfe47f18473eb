"""Words shared by every layer: the data model, params, errors and protocols. Imports nothing of ours."""
