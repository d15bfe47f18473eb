"""The stages as pure functions over domain types and protocols."""
