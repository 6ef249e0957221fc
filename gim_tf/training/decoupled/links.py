"""What two neighbouring workers tell each other, whatever carries it.

The receiver owns a mailbox: a bounded queue, and a notice of what it wants,
(generation, number). It writes the notice before it reads; a generation begins
when a receiver starts, or goes back. The sender reads the notice before it
sends. In order:

    the receiver takes the messages of its generation that have the number it
        wants and drops the others: they are repeated, or from before;
    a sender that finds a new generation and is past its number goes back to
        its own checkpoint before it (`RewindError`) and computes the batches
        again: they are the same, since all that decides them is saved.

So a worker that was killed needs nothing but its own checkpoint, and those
below it train again what it lacks. Running freely nobody waits: a sender leaves
out what finds no room, a receiver takes the newest or trains on one again.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

import tensorflow as tf

from gim_tf.data.input_pipeline import Batch
from gim_tf.training.decoupled.waiting import Patience, Wait

POLL_SECONDS = 0.5
"""Between two looks at signals and time limits, while waiting."""

Outputs = Iterator[tuple[tf.Tensor, tf.Tensor]]


class Want(NamedTuple):
    """What a receiver waits for.

    Attributes:
      generation: another one after each start and each way back.
      number: of the batch, from 1.
    """

    generation: int
    number: int


class Message(NamedTuple):
    """One batch on its way.

    Attributes:
      want: the generation it is for, and its number.
      z: [b, t, s, *local, d], what the last module below gave.
      labels: [b] int64.
    """

    want: Want
    z: tf.Tensor
    labels: tf.Tensor


class Inbox(Protocol):
    """A mailbox as its owner, the receiver, sees it."""

    def announce(self, want: Want) -> None:
        """Changes the notice."""

    def take(self, seconds: float) -> Message | None:
        """The oldest message; None: there was none for so long (0: now).

        Raises:
          MessageLostError: there was one, and it may be gone.
        """


class Outbox(Protocol):
    """A mailbox as the sender sees it; its owner may be gone."""

    def want(self) -> Want | None:
        """The notice; None: nobody is there, or has written one yet."""

    def put(self, message: Message, seconds: float) -> bool:
        """Whether there was room for it within so long (0: now)."""


class MessageLostError(Exception):
    """A mailbox failed while it gave a message away."""


class RewindError(Exception):
    """The worker above needs batches that this one is past.

    Attributes:
      step: the latest one from which they can be computed.
    """

    def __init__(self, step: int) -> None:
        super().__init__(f"batches after {step} are needed again")
        self.step = step


class Receiver(Protocol):
    """Where a worker's batches come from."""

    def __call__(self, first: int) -> Iterator[Batch]:
        """Endless batches from that number on; asked for at once."""


class Sender(Protocol):
    """Where a worker's outputs go."""

    def send(self, number: int, z: tf.Tensor, labels: tf.Tensor) -> None:
        """Hands on the output of one step.

        Raises:
          RewindError: other ones are needed.
          StopWaiting: a signal came.
          WorkerLostError: the next worker is gone for too long.
        """

    def finish(self, last: int, outputs: Outputs) -> None:
        """After the last step: serves the next worker until it is done.

        Args:
          last: number of the last step.
          outputs: of the steps that would follow, computed when asked for.

        Raises:
          RewindError, StopWaiting, WorkerLostError: as `send`.
        """


class OrderedReceiver:
    """Each batch once, in order.

    Args:
      inbox: owned by this worker.
      patience: with the worker below.
      who: that is.
    """

    def __init__(self, inbox: Inbox, patience: Patience, who: str) -> None:
        self._inbox = inbox
        self._patience = patience
        self._who = who

    def __call__(self, first: int) -> Iterator[Batch]:
        """See `Receiver`."""
        want = Want(time.time_ns(), first)
        self._inbox.announce(want)
        return self._after(want)

    def _after(self, want: Want) -> Iterator[Batch]:
        while True:
            message = self._wanted(want)
            want = message.want._replace(number=want.number + 1)
            self._inbox.announce(want)
            yield Batch(message.z, message.labels)

    def _wanted(self, want: Want) -> Message:
        wait = Wait(self._patience, f"{self._who}, which gives the batches,")
        seen = None
        while True:
            try:
                message = self._inbox.take(POLL_SECONDS)
            except MessageLostError:
                want = self._again(want)
                message = None
            if message is not None:
                seen = message.want
                if seen == want:
                    return message
                if seen[0] == want[0] and seen.number > want.number:
                    want = self._again(want)
            wait.check(sign=seen)

    def _again(self, want: Want) -> Want:
        """One was lost: with a new generation it comes again."""
        want = Want(time.time_ns(), want.number)
        self._inbox.announce(want)
        return want


class _ToAbove:
    """A way to the next worker.

    Args:
      outbox: owned by the worker above.
      patience: with it.
      who: it is.
      is_done: whether it and all above it need nothing more.
    """

    def __init__(
        self,
        outbox: Outbox,
        patience: Patience,
        who: str,
        is_done: Callable[[], bool],
    ) -> None:
        self._outbox = outbox
        self._patience = patience
        self._who = who
        self._is_done = is_done


class OrderedSender(_ToAbove):
    """Waits for room, and goes back when the receiver does."""

    _generation: int | None = None

    def send(self, number: int, z: tf.Tensor, labels: tf.Tensor) -> None:
        """See `Sender`."""
        wait = Wait(self._patience, f"{self._who}, which takes the batches,")
        while True:
            want = self._outbox.want()
            if want is not None:
                self._follow(want, number)
                message = Message(want._replace(number=number), z, labels)
                # What it has already is a sign of life, and waits for no room.
                is_repeated = number < want.number
                put = self._outbox.put(
                    message, 0.0 if is_repeated else POLL_SECONDS
                )
                if put or is_repeated:
                    return
            if self._is_done():
                return
            wait.check(sign=want)

    def finish(self, last: int, outputs: Outputs) -> None:
        """See `Sender`; no output is computed."""
        wait = Wait(self._patience, f"{self._who}, which is not done yet,")
        while not self._is_done():
            want = self._outbox.want()
            if want is not None:
                self._follow(want, last + 1)
            # The receiver may wait itself: any answer is a sign of life.
            wait.check(sign=want and time.monotonic())
            time.sleep(POLL_SECONDS / 5)

    def _follow(self, want: Want, number: int) -> None:
        """Goes back if what is wanted comes before `number`."""
        if want.generation == self._generation:
            return
        self._generation = want.generation
        if want.number < number:
            raise RewindError(want.number - 1)


class FreeReceiver:
    """The newest batch; where there is no new one, a recent one again.

    Args:
      inbox: owned by this worker.
      patience: with the worker below, for a first batch.
      who: that is.
      keep: batches that are kept for it.
    """

    def __init__(
        self, inbox: Inbox, patience: Patience, who: str, keep: int
    ) -> None:
        self._inbox = inbox
        self._patience = patience
        self._who = who
        self._recent: deque[Batch] = deque(maxlen=keep)
        self._new = self._again = 0
        self._oldest = self._newest = 0  # numbers of batches

    def __call__(self, first: int) -> Iterator[Batch]:
        """See `Receiver`; the number is of no importance."""
        self._inbox.announce(Want(time.time_ns(), first))
        return self._batches()

    @property
    def account(self) -> str:
        """What was given since this process began, in words."""
        # Fewer where the worker below was killed and counts again.
        sent = 1 + self._newest - self._oldest
        return (
            f"{self._new} new batches, {self._again} times a recent one again, "
            f"{max(sent - self._new, 0)} left out"
        )

    def _batches(self) -> Iterator[Batch]:
        while True:
            if self._drain():
                self._new += 1
                yield self._recent[-1]
            elif self._recent:
                self._again += 1
                yield self._recent[self._again % len(self._recent)]
            else:
                self._wait()
                self._new += 1
                yield self._recent[-1]

    def _drain(self) -> bool:
        """Whether there were new ones."""
        found = False
        while (message := self._take(0.0)) is not None:
            self._keep(message)
            found = True
        return found

    def _wait(self) -> None:
        wait = Wait(self._patience, f"{self._who}, which gives the batches,")
        while (message := self._take(POLL_SECONDS)) is None:
            wait.check()
        self._keep(message)

    def _take(self, seconds: float) -> Message | None:
        try:
            return self._inbox.take(seconds)
        except MessageLostError:
            return None  # as good as one that was left out

    def _keep(self, message: Message) -> None:
        self._newest = message.want.number
        self._oldest = self._oldest or self._newest
        self._recent.append(Batch(message.z, message.labels))


class FreeSender(_ToAbove):
    """Leaves out what finds no room, or nobody there.

    It waits for the worker above only once this one has finished.
    """

    _not_before = 0.0

    def send(self, number: int, z: tf.Tensor, labels: tf.Tensor) -> None:
        """See `Sender`; raises nothing."""
        if time.monotonic() < self._not_before:
            return
        want = self._outbox.want()
        if want is None:
            # Looking for somebody who is gone takes time.
            self._not_before = time.monotonic() + 10 * POLL_SECONDS
            return
        self._outbox.put(Message(want._replace(number=number), z, labels), 0.0)

    def finish(self, last: int, outputs: Outputs) -> None:
        """See `Sender`; an output is computed when there is room for it."""
        wait = Wait(self._patience, f"{self._who}, which is not done yet,")
        number = last
        for z, labels in outputs:
            number += 1
            while not self._is_done():
                want = self._outbox.want()
                if want is not None and self._outbox.put(
                    Message(want._replace(number=number), z, labels),
                    POLL_SECONDS,
                ):
                    break
                wait.check(sign=want and time.monotonic())
            if self._is_done():
                return
