"""The entry point of ``python -m ops …``."""

from .cli import main

main()
