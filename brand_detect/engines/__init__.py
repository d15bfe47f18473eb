"""The only home of decoders, models, provider clients and other heavy libraries, each imported when first used.

Engines implement ``domain.protocols`` and decide nothing: rules and thresholds of the pipeline are in ``stages``.
"""
