"""``python -m piddm``."""

from piddm.cli import main

main()
