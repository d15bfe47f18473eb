"""How the shipped weights and thresholds are made; the wheel leaves it out, and nothing imports it.

What runs a trained network is an engine.
"""
