"""Time, memory, queries and cost, measured on generated input. How right a result is belongs to ``scoring``."""
