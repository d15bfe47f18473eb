"""Prints what is installed beside this interpreter as pip constraints."""

from importlib.metadata import distributions

LEFT_OUT = {"brand_detect", "pip", "setuptools"}

print("# Written by `make lock` on Python 3.11; edit pyproject.toml instead.")
for dist in sorted(distributions(), key=lambda d: d.name.lower()):
    if dist.name not in LEFT_OUT:
        print(f"{dist.name}=={dist.version.split('+')[0]}")  # a local version such as +cpu is on no registry
