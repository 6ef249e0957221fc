"""A worker process of a decoupled run, as `supervising` starts it.

`python -m gim_tf.jobs.decoupled_worker RUN_DIR TASK HOST:PORT,HOST:PORT,...`
"""

import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Sequence

from gim_tf.errors import GimError, InterruptedRunError
from gim_tf.jobs import decoupled_part
from gim_tf.jobs.decoupled_plan import read_plan
from gim_tf.jobs.supervising import ERROR, run_task
from gim_tf.training.interrupts import Interrupts
from gim_tf.training.run_directory import RunDirectory

_LOCK_SECONDS = 60.0
"""To wait for a worker that was told to end and is saving still."""


def main(arguments: Sequence[str]) -> int:
    """Runs one worker; returns the exit code of `gim` for what happened."""
    run_dir, task, addresses = arguments
    plan = read_plan(run_dir)
    number = int(task)
    _log_as(number)
    with Interrupts() as interrupts:
        threading.Thread(target=_end_with_parent, daemon=True).start()
        run = RunDirectory(plan.part_dir(number))
        (run.path / ERROR).unlink(missing_ok=True)
        decoupled_part.bind_to_cores(plan, number)
        try:
            decoupled_part.start_tensorflow(plan, number)
            run.wait_until_free(_LOCK_SECONDS)
            run_task(plan, number, addresses.split(","), interrupts)
        except GimError as error:
            if not isinstance(error, InterruptedRunError):
                run.write_json(ERROR, {"message": str(error)})
            return error.exit_code
    return 0


def _log_as(task: int) -> None:
    warnings.filterwarnings("ignore")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(f"[worker {task + 1}] %(message)s"))
    logger = logging.getLogger("gim_tf")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
    for noisy in ("tensorflow", "absl"):
        logging.getLogger(noisy).setLevel(logging.ERROR)


def _end_with_parent() -> None:
    """Saves and ends this worker when who started it is gone."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    logging.shutdown()
    # A server cannot be stopped, and its threads would delay the end.
    os._exit(code)
