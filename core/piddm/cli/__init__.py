"""The command line, a file for each group of commands. Nothing heavy is imported at the top."""


def main() -> None:
    """Run ``piddm``."""
    from piddm.cli.app import app

    app()
