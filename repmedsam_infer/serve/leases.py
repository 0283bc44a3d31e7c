"""Who has a session: leases, given out one to a client, taken back when it is idle or gone."""

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from repmedsam_infer.errors import UsageError
from repmedsam_infer.serve.prompted_volume import PromptedVolume


class NoLeaseError(UsageError):
    """A request has no lease, or one that is over."""


class FullError(UsageError):
    """As many clients have a lease as may."""


@dataclass
class Lease:
    """One client's session.

    active: when its user did something last. seen: when anything was heard of it last. Seconds of the clock.
    lock: while its session works.
    """

    volume: PromptedVolume
    active: float
    seen: float
    lock: threading.Lock = field(default_factory=threading.Lock)


class Leases:
    """All of them.

    Args:
        make: a session.
        most: of them at a time.
        idle: seconds without anything that a user did, after which a lease is over.
        liveness: seconds without any request, after which it is.
        clock: of seconds.

    """

    def __init__(
        self,
        make: Callable[[], PromptedVolume],
        most: int,
        idle: float,
        liveness: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.make, self.most, self.idle, self.liveness, self.clock = make, most, idle, liveness, clock
        self.lock = threading.Lock()  # of the leases
        self.leases: dict[str, Lease] = {}

    def claim(self) -> str:
        """Give out a lease; returns its token. Raises FullError where there is none to give."""
        self.sweep()
        with self.lock:
            if len(self.leases) >= self.most:
                raise FullError(f"the server is full: {self.most} sessions are in use; try again later")
            token, now = secrets.token_urlsafe(24), self.clock()
            self.leases[token] = Lease(self.make(), now, now)
            return token

    def get(self, token: str | None, *, active: bool) -> Lease:
        """Return a lease, noting that its client is there, and with `active` that its user did something.

        Raises:
            NoLeaseError: there is none of this token.

        """
        self.sweep()
        with self.lock:
            lease = self.leases.get(token or "")
            if lease is None:
                raise NoLeaseError("this session is over, or never was: connect again")
            lease.seen = self.clock()
            if active:
                lease.active = lease.seen
            return lease

    def remaining(self, token: str | None) -> float:
        """Return the seconds until a lease is over for want of activity, changing nothing. Raises NoLeaseError."""
        self.sweep()
        with self.lock:
            lease = self.leases.get(token or "")
            if lease is None:
                raise NoLeaseError("this session is over, or never was: connect again")
            return max(0.0, self.idle - (self.clock() - lease.active))

    def release(self, token: str | None) -> None:
        """End a lease, if there is one of this token."""
        with self.lock:
            self.leases.pop(token or "", None)

    def sweep(self) -> None:
        """End those whose time is over; one whose session is at work is not."""
        now = self.clock()
        with self.lock:
            over = [
                token
                for token, lease in self.leases.items()
                if not lease.lock.locked() and (now - lease.seen > self.liveness or now - lease.active > self.idle)
            ]
            for token in over:
                del self.leases[token]
