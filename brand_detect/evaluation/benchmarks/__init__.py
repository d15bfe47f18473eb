"""Time, memory, queries and cost, measured on generated input. ``scoring`` measures correctness."""
