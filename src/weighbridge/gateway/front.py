"""`Front`: what every process has that answers clients: the door, and what it goes by."""

from __future__ import annotations

from collections.abc import Callable

from weighbridge.settings import Settings

from .choosing import Chooser
from .door import Door
from .fallbacks import Fallbacks
from .feedback import Feedback
from .guard import Guard
from .metrics import Metrics
from .plain import Plain
from .pool import Pool
from .recording import Recorder
from .teaching import Teacher
from .upstream import Upstream


class Front:
    """The door over a pool; in the first process, which has the engines, and in each of its workers."""

    def __init__(
        self,
        settings: Settings,
        tell: Callable[[str], None],
        *,
        metrics: Metrics,
        guard: Guard,
        pool: Pool[Upstream],
        teacher: Teacher,
        recorder: Recorder,
        feedback: Feedback,
        door: type[Door] = Door,
    ) -> None:
        self.settings, self.tell = settings, tell
        self.metrics, self.guard, self.pool, self.teacher = metrics, guard, pool, teacher
        self.recorder, self.feedback = recorder, feedback
        self.chooser = Chooser(pool, metrics, settings, tell)
        self._make_known()
        self.door = door(pool, metrics, teacher, self.chooser, recorder, feedback, guard,
                         Fallbacks(settings, pool.models.values(), tell))  # fmt: skip
        self.plain = Plain.of(self.door)

    def choose_anew(self) -> None:
        """Have the router know the models and policies as they are now; what it has learnt stays."""
        self.chooser = self.door.chooser = Chooser(self.pool, self.metrics, self.settings, self.tell, self.chooser)
        self._make_known()
        self.door.adapt_anew()
        self.door.fallbacks = Fallbacks(self.settings, self.pool.models.values(), self.tell)
        if self.plain is not None:
            self.plain.forget()

    def _make_known(self) -> None:
        self.guard.know((*self.chooser.names, *self.chooser.policies.named))
