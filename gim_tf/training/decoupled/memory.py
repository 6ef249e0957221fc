"""A mailbox between two threads of one process; tensors stay on their device.

A consumer on another device copies a tensor when it uses it.
"""

import queue

from gim_tf.training.decoupled.links import Message, Want


class MemoryMailbox:
    """Both ends of a link: an `Inbox` and an `Outbox`.

    Args:
      capacity: messages that may wait.
    """

    def __init__(self, capacity: int) -> None:
        self._queue: queue.Queue[Message] = queue.Queue(capacity)
        self._want: Want | None = None

    def announce(self, want: Want) -> None:
        """See `Inbox`."""
        self._want = want

    def take(self, seconds: float) -> Message | None:
        """See `Inbox`."""
        try:
            return self._queue.get(block=seconds > 0, timeout=seconds)
        except queue.Empty:
            return None

    def want(self) -> Want | None:
        """See `Outbox`."""
        return self._want

    def put(self, message: Message, seconds: float) -> bool:
        """See `Outbox`."""
        try:
            self._queue.put(message, block=seconds > 0, timeout=seconds)
        except queue.Full:
            return False
        return True
