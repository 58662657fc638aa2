"""What people are told of a submission, and when: from the events that its driver journals.

Messages are sent by a thread of their own: nothing of the driver waits for a mail server, and one that does
not answer costs a line on the terminal and no cell.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue

from catalog.events import AttemptEnded, AttemptStarted, CellFailed, CellFinished, EpochFinished, Event
from orchestrator.running.channels import Message, NotifyError, address_of, send
from orchestrator.study.model import Notify, Resources

LOOK_SECONDS = 5.0
LEAVE_SECONDS = 45.0
"""How long the last messages may take when a run ends."""
_LONGEST = 2000  # characters of an error


@dataclass(frozen=True)
class AlertSubject:
    """A submission to tell of: cells' names and resources by key; hours spent before; how to go on."""

    study: str
    cells: Mapping[str, tuple[str, Resources]]
    spent_hours: float
    again: str


@dataclass
class AlertState:
    """What has happened so far: which cells run since when, when an epoch ended last, what was told."""

    notify: Notify
    about: AlertSubject
    running: dict[str, float] = field(default_factory=dict)
    last_news: float = 0.0
    spent: float = 0.0
    told_stuck: bool = False
    told_budget: bool = False

    def see(self, event: Event, now: float) -> list[Message]:
        """Take an event in; what is to be told at once. `now`: seconds, of any clock that only grows."""
        if isinstance(event, AttemptStarted):
            self.running[event.key], self.last_news = now, now
        elif isinstance(event, EpochFinished):
            self.last_news, self.told_stuck = now, False
        elif isinstance(event, AttemptEnded | CellFinished):
            self._ended(event.key, now)
        elif isinstance(event, CellFailed):
            return [self._failed(event)]
        return []

    def look(self, now: float) -> list[Message]:
        """What is to be told because of the time: nothing happens, or the budget is spent."""
        messages = []
        if self._is_stuck(now):
            self.told_stuck = True
            messages.append(self._stuck(now))
        if self._is_over_budget(now):
            self.told_budget = True
            messages.append(self._over_budget(now))
        return messages

    def hours(self, now: float) -> float:
        """GPU-hours so far (CPU-core-hours where no cell has a GPU), those of earlier runs included."""
        running = sum(self._rate(key) * (now - since) for key, since in self.running.items())
        return self.about.spent_hours + (self.spent + running) / 3600

    @property
    def on_gpus(self) -> bool:
        """Whether hours are those of GPUs."""
        return any(resources.gpus for _, resources in self.about.cells.values())

    def ended(self, states: Mapping[str, str]) -> Message:
        """What is told at the end of a run: how many cells are in which state."""
        values = list(states.values())
        counts = ", ".join(f"{values.count(name)} {name}" for name in dict.fromkeys(sorted(values)))
        complete = all(value == "done" for value in values)
        title = f"{self.about.study}: {'all' if complete else 'not all'} of {len(values)} cells are done"
        rest = "" if complete else f"\nGo on with: {self.about.again}"
        return Message("finished", self.about.study, title, f"{counts}{rest}")

    def _ended(self, key: str, now: float) -> None:
        since = self.running.pop(key, None)
        self.last_news, self.told_stuck = now, False
        if since is not None:
            self.spent += self._rate(key) * (now - since)

    def _rate(self, key: str) -> float:
        if key not in self.about.cells:
            return 0.0
        _, resources = self.about.cells[key]
        return float(resources.gpus) if self.on_gpus else float(resources.cpus)

    def _name(self, key: str) -> str:
        return self.about.cells[key][0] if key in self.about.cells else key

    def _failed(self, event: CellFailed) -> Message:
        name, log = self._name(event.key), f"\nLog: {event.log}" if event.log else ""
        text = f"{event.error[:_LONGEST]}{log}\nMend the cause, then: {self.about.again}"
        return Message("failed", self.about.study, f"{self.about.study}: {name} failed", text)

    def _is_stuck(self, now: float) -> bool:
        patience = self.notify.stuck_after_minutes * 60
        return bool(self.running) and not self.told_stuck and now - self.last_news > patience

    def _stuck(self, now: float) -> Message:
        minutes = (now - self.last_news) / 60
        title = f"{self.about.study}: no epoch has ended for {minutes:.0f} minutes"
        names = ", ".join(sorted(map(self._name, self.running)))
        return Message("stuck", self.about.study, title, f"In training: {names}")

    def _is_over_budget(self, now: float) -> bool:
        budget = self.notify.budget_hours
        return budget is not None and not self.told_budget and self.hours(now) > budget

    def _over_budget(self, now: float) -> Message:
        unit = "GPU-hours" if self.on_gpus else "CPU-core-hours"
        title = (
            f"{self.about.study}: {self.hours(now):,.4g} of {self.notify.budget_hours:,g} {unit} are spent"
        )
        words = f"Nothing was stopped. To stop it: actiongrid pause {self.about.study}"
        return Message("over_budget", self.about.study, title, words)


def require_addresses(notify: Notify | None) -> None:
    """See before hours of training that every channel leads somewhere.

    Raises:
        NotifyError: one does not.
    """
    for channel in notify.to if notify else ():
        address_of(channel)


class Notifier:
    """Sends what an `AlertState` says; threads may hand events in."""

    def __init__(
        self,
        notify: Notify,
        about: AlertSubject,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._alerts = AlertState(notify, about)
        self._channels = notify.to
        self._say, self._clock = say, clock
        self._lock = threading.Lock()
        self._queue: SimpleQueue[Message | None] = SimpleQueue()
        self._sending = threading.Thread(target=self._send_all, name="notifications", daemon=True)
        self._over = threading.Event()
        self._looking = threading.Thread(target=self._look, name="notifications-watch", daemon=True)

    def start(self) -> None:
        """Begin to look and to send."""
        self._sending.start()
        self._looking.start()

    def see(self, event: Event) -> None:
        """Take a journalled event in."""
        with self._lock:
            messages = self._alerts.see(event, self._clock())
        self._put(messages)

    def end(self, states: Mapping[str, str] | None) -> None:
        """Tell how it ended (None: it was interrupted, which people know) and wait for the last messages."""
        self._over.set()
        if states is not None:
            self._put([self._alerts.ended(states)])
        self._queue.put(None)
        self._sending.join(LEAVE_SECONDS)

    def _put(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self._queue.put(message)

    def _look(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            with self._lock:
                messages = self._alerts.look(self._clock())
            self._put(messages)

    def _send_all(self) -> None:
        while (message := self._queue.get()) is not None:
            for channel in self._channels:
                if message.kind in channel.when:
                    try:
                        send(channel, message)
                    except NotifyError as error:
                        self._say(f"warning: {error}")


def start_notifier(
    notify: Notify | None, about: Callable[[], AlertSubject], say: Callable[[str], None]
) -> Notifier | None:
    """A notifier at work, where the study wants one; it ends with the process, or when it is told to.

    `about` looks up what the messages are about: only where there are any.
    """
    if notify is None:
        return None
    notifier = Notifier(notify, about(), say)
    notifier.start()
    return notifier
