"""The command line, a file for each group of commands. Nothing heavy is imported at the top."""


def main() -> None:
    """Run ``piddm``; Ctrl-C ends it by one line and code 130, whatever it is at."""
    try:
        from piddm.cli import interruption
        from piddm.tools import launched, stopping

        interruption.heed()
        stopping.heed()
        launched.hush()
    except KeyboardInterrupt:
        import os

        os.write(2, b"interrupted; run the same command again to go on\n")
        os._exit(130)
    try:
        from piddm.cli.app import app

        app()
    except SystemExit:
        raise
    except stopping.Stopped:
        launched.complain(stopping.LINE)
        raise SystemExit(stopping.CODE) from None
    except BaseException:
        if not interruption.noted():
            raise
        interruption.end()
