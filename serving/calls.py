"""What both clients share: how long to try, and what signatures are."""

import random
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np

from gim_tf.errors import InvalidRequestError, ServingError, UnavailableError

DTYPES = {
    "DT_FLOAT": np.float32,
    "DT_INT32": np.int32,
    "DT_INT64": np.int64,
    "DT_STRING": object,
}
"""NumPy's types by TensorFlow's names: all that exported models have."""

MESSAGE_BYTES = 4_000_000
"""Of one request: 4 MiB is what gRPC takes by default, less the frame."""

_FIRST_WAIT = 0.1
_LONGEST_WAIT = 5.0
_Answer = TypeVar("_Answer")


class Patience(NamedTuple):
    """How long to try.

    Attributes:
      deadline: seconds for a call, its retries included.
      retries: after UNAVAILABLE, 503 or a refused connection; the waits
        double from 0.1 s, each times a random 0.5 to 1.
    """

    deadline: float = 30.0
    retries: int = 5


class Signature(NamedTuple):
    """dtypes of NumPy by name."""

    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]


def retrying(
    once: Callable[[float], _Answer],
    patience: Patience,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> _Answer:
    """What `once` returns, tried again while the server is unavailable.

    Args:
      once: takes the seconds that are left.
      patience: bounds the tries and the seconds of all together.
      sleep: waits.

    Raises:
      UnavailableError: it still was at the last try, or at the deadline.
      ServingError: any other, at once.
    """
    end = time.monotonic() + patience.deadline
    wait = _FIRST_WAIT
    for left in range(patience.retries, -1, -1):
        try:
            return once(max(end - time.monotonic(), 0.001))
        except UnavailableError:
            # From 0.5 to 1 of it: clients that failed together come apart.
            pause = wait * random.uniform(0.5, 1)
            if not left or time.monotonic() + pause > end:
                raise
        sleep(pause)
        wait = min(2 * wait, _LONGEST_WAIT)
    raise ServingError("Expected at least 0 retries.")


def known_signature(
    signatures: Mapping[str, Signature], name: str
) -> Signature:
    """The signature of that name.

    Raises:
      InvalidRequestError: there is none; names those that there are.
    """
    if name not in signatures:
        raise InvalidRequestError(
            f"There is no signature {name!r}; the model has "
            f"{', '.join(sorted(signatures))}."
        )
    return signatures[name]
