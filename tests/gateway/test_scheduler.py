"""The scheduler through thousands of random event orders: no request is lost or answered twice."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from weighbridge.gateway import scheduler
from weighbridge.gateway.scheduler import Phase, Refuse, Serve, Start, Stop

MODELS = ("a", "b")


class Life(RuleBasedStateMachine):
    """Plays engines and clients against the scheduler, and keeps its own books."""

    requests = Bundle("requests")

    def __init__(self) -> None:
        super().__init__()
        self.state = scheduler.State({name: scheduler.ModelState() for name in MODELS})
        self.now = 0.0
        self.tickets = 0
        self.open: dict[int, str] = {}
        self.answered: set[int] = set()
        self.engines: dict[str, str] = {}

    def happen(self, event: scheduler.Event) -> None:
        self.state, actions = scheduler.decide(self.state, event, self.now)
        for action in actions:
            match action:
                case Serve(ticket=ticket):
                    assert ticket in self.open
                    assert not self.state.is_closing
                    assert ticket not in self.answered
                    assert self.engines[self.open[ticket]] == "ready"
                    self.answered.add(ticket)
                case Refuse(ticket=ticket, retry_after_seconds=seconds):
                    assert ticket in self.open
                    assert ticket not in self.answered
                    assert seconds >= 1
                    self.answered.add(ticket)
                case Start(model=name):
                    assert name not in self.engines
                    self.engines[name] = "starting"
                case Stop(model=name):
                    assert name in self.engines
                    self.engines[name] = "stopping"

    @rule(target=requests, model=st.sampled_from(MODELS))
    def ask(self, model: str) -> int:
        self.tickets += 1
        self.open[self.tickets] = model
        self.happen(scheduler.Asked(model, self.tickets))
        return self.tickets

    @rule(ticket=consumes(requests), served=st.booleans())
    def leave(self, ticket: int, served: bool) -> None:
        model = self.open[ticket]
        self.happen(scheduler.Left(model, ticket, served))
        del self.open[ticket]

    @rule(model=st.sampled_from(MODELS))
    def preload(self, model: str) -> None:
        self.happen(scheduler.Preload(model))

    @rule(model=st.sampled_from(MODELS))
    def engine_ready(self, model: str) -> None:
        if self.engines.get(model) == "starting":
            self.engines[model] = "ready"
            self.happen(scheduler.Started(model))

    @rule(model=st.sampled_from(MODELS))
    def engine_is_dying(self, model: str) -> None:
        if self.engines.get(model) == "ready":
            self.engines[model] = "dying"
            self.happen(scheduler.Dying(model))

    @rule(model=st.sampled_from(MODELS))
    def engine_ends(self, model: str) -> None:
        if model in self.engines:
            del self.engines[model]
            self.happen(scheduler.Ended(model, "killed"))

    @rule(seconds=st.floats(0, 40))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.tickets > 5)
    @rule()
    def close(self) -> None:
        self.happen(scheduler.Closing())

    @precondition(lambda self: self.state.is_closing)
    @rule()
    def shut_down(self) -> None:
        self.happen(scheduler.Shutdown())

    @invariant()
    def every_open_request_waits_or_is_answered(self) -> None:
        for ticket, name in self.open.items():
            waiting = ticket in self.state.models[name].waiting
            assert waiting != (ticket in self.answered)

    @invariant()
    def requests_wait_only_for_engines_that_start_or_make_room_for_one(self) -> None:
        for name, model in self.state.models.items():
            if model.waiting:
                assert self.engines[name] in ("starting", "dying")
            assert not set(model.waiting) & model.serving

    @invariant()
    def phase_follows_the_engine(self) -> None:
        for name, model in self.state.models.items():
            if model.phase in (Phase.STOPPED, Phase.FAILED):
                assert name not in self.engines


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)


@given(st.integers(1, 1000))
def test_the_pause_after_failures_grows_to_half_a_minute(failures):
    pause = scheduler.back_off_seconds(failures)

    assert 0 <= pause <= 30
    assert pause <= scheduler.back_off_seconds(failures + 1)


def test_a_request_that_meets_a_dying_engine_gets_the_next_one():
    state = scheduler.State({"a": scheduler.ModelState()})
    for event in (scheduler.Preload("a"), scheduler.Started("a"), scheduler.Dying("a")):
        state, _ = scheduler.decide(state, event, 0)
    state, actions = scheduler.decide(state, scheduler.Asked("a", 1), 0)
    assert actions == ()
    state, actions = scheduler.decide(state, scheduler.Ended("a", "killed"), 0)
    assert actions == (Start("a"),)
    _, actions = scheduler.decide(state, scheduler.Started("a"), 0)
    assert actions == (Serve(1),)


def test_a_crash_loop_is_refused_with_its_cause_and_a_time():
    state = scheduler.State({"a": scheduler.ModelState()})
    for _ in range(3):
        state, _ = scheduler.decide(state, scheduler.Preload("a"), 0)
        state, _ = scheduler.decide(state, scheduler.Ended("a", "out of memory"), 0)

    state, actions = scheduler.decide(state, scheduler.Asked("a", 1), 0.5)

    assert actions == (Refuse(1, "out of memory", 2),)
    _, actions = scheduler.decide(state, scheduler.Asked("a", 2), 2.0)
    assert actions == (Start("a"),)
