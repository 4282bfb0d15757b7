"""Start the console script: ``gatepost`` and ``python -m appliance`` are the same."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

import click

from appliance.cli import gatepost
from appliance.errors import GatepostError

_INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def main() -> None:
    """Run a command; every error is one line on stderr that says what to do."""
    sys.exit(_run())


def _run() -> int:
    try:
        result = gatepost.main(prog_name="gatepost", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except BrokenPipeError:
        # The reader has gone (`| head`): nothing more can be said, not even by Python's own exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)  # a group alone: its commands are the help
        return error.exit_code
    except GatepostError as error:
        return _say(str(error), error.exit_code)
    except click.ClickException as error:
        return _say(_click_words(error), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        return _say("stopped", _INTERRUPTED)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _say(f"{where}{error.strerror or error}", 1)
    except Exception as error:  # the top: whatever comes here is a defect of ours
        return _say(_defect(error), 1)


def _click_words(error: click.ClickException) -> str:
    if not isinstance(error, click.UsageError):
        return error.format_message()
    command = error.ctx.command_path if error.ctx else "gatepost"
    return f"{error.format_message()} (see: {command} --help)"


def _defect(error: Exception) -> str:
    """Describe an unforeseen exception without its text, which could hold anything."""
    if os.environ.get("GATEPOST_DEBUG"):
        traceback.print_exception(error)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"this is a defect in Gatepost: {type(error).__name__} at "
        f"{Path(frame.filename).name}:{frame.lineno}"
        " (run it again with GATEPOST_DEBUG=1 and report what it prints)"
    )


def _say(text: str, code: int) -> int:
    """Print one line on stderr, whatever line breaks the text had."""
    line = " ".join(part.strip() for part in text.splitlines() if part.strip())
    click.echo(line if line.startswith("gatepost:") else f"gatepost: {line}", err=True)
    return code


if __name__ == "__main__":
    main()
