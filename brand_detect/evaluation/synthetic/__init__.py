"""Generates footage and pictures with ground truth, equal for equal seeds; it scores nothing."""
