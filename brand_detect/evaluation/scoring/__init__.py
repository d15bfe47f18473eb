"""Results against labels: what was found, missed and made up. It generates no input and measures no time."""
