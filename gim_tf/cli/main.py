"""Entry point of the `gim` command: quiet libraries, one-line errors."""

import logging
import os
import signal
import sys
import warnings
from collections.abc import Sequence

from tqdm import tqdm

from gim_tf.cli.arguments import parse
from gim_tf.errors import GimError, disk_error


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb; returns the exit code.

    0: done. 2: a mistake that the message explains. 3: the run finished but
    its encoder was not blessed, or some runs of a study failed. 4: a worker of
    a decoupled run was lost, the others are saved. 128 + n: ended by signal n,
    saved.
    """
    options = parse(sys.argv[1:] if arguments is None else arguments)
    _quieten()
    try:
        options.verb(options)
    except GimError as error:
        print(f"gim: error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("gim: error: interrupted; run again to go on", file=sys.stderr)
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # The reader (head, less) has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        plain = disk_error(error, getattr(options, "output_dir", "."))
        if plain is None:
            raise
        print(f"gim: error: {plain}", file=sys.stderr)
        return plain.exit_code
    return 0


class _AboveProgressBar(logging.Handler):
    """Prints our own log lines to standard error without breaking the bar."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(record.getMessage(), file=sys.stderr)
        sys.stderr.flush()


def _quieten() -> None:
    """Hides what libraries say on import; keeps our own lines and errors."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    for ours in ("gim_tf", "serving"):
        logger = logging.getLogger(ours)
        logger.handlers = [_AboveProgressBar()]
        logger.setLevel(logging.INFO)
        logger.propagate = False
    for noisy in ("tensorflow", "absl", "h5py", "apache_beam"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
