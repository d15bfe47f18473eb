"""The only package that uses decoders, models, provider clients and other heavy libraries; imports them lazily.

Engines implement ``domain.protocols`` and make no decisions: ``stages`` holds the pipeline's rules and thresholds.
"""
