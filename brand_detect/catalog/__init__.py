"""The brand list: loading, validation and the index that text is matched against."""
