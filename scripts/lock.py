"""Prints the packages installed for this interpreter as pip constraints."""

from importlib.metadata import distributions

LEFT_OUT = {"brand_detect", "pip", "setuptools"}

print("# Written by `make lock` on Python 3.11; edit pyproject.toml instead.")
for dist in sorted(distributions(), key=lambda d: d.name.lower()):
    if dist.name not in LEFT_OUT:
        print(f"{dist.name}=={dist.version.split('+')[0]}")  # registries have no local versions such as +cpu
