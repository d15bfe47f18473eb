"""Compares results with labels. It generates no input and measures no time."""
