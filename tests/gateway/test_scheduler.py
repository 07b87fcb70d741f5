"""The scheduler through thousands of random event orders: the budget holds, nothing is lost, nobody is cut off."""

from __future__ import annotations

import heapq
import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, precondition, rule

from weighbridge.gateway import scheduler
from weighbridge.gateway.scheduler import (
    Breaker,
    Limits,
    ModelState,
    Phase,
    Refusal,
    Refuse,
    Serve,
    Start,
    State,
    Stop,
    Terms,
)

MODELS = ("a", "b", "c")
PLACES = ("memory", "gpu0")


def terms() -> st.SearchStrategy[Terms]:
    return st.builds(
        Terms,
        need=st.dictionaries(st.sampled_from(PLACES), st.integers(0, 8), max_size=2),
        keep_alive_seconds=st.sampled_from((float("inf"), 0.0, 5.0)),
        pinned=st.sampled_from((False, False, True)),
        at_once=st.sampled_from((None, 1, 2)),
    )


class Life(RuleBasedStateMachine):
    """Plays engines and clients against the scheduler, and keeps its own books."""

    requests = Bundle("requests")

    @initialize(
        each=st.tuples(*(terms() for _ in MODELS)),
        budget=st.dictionaries(st.sampled_from(PLACES), st.integers(8, 16), max_size=2),
    )
    def begin(self, each: tuple[Terms, ...], budget: dict[str, int]) -> None:
        self.state = State(
            {name: ModelState(terms=own) for name, own in zip(MODELS, each, strict=True)},
            budget,
            Limits(waiting_per_model=4, waiting_in_all=7, queue_seconds=60, turn_seconds=5),
        )
        self.now = 0.0
        self.tickets = 0
        self.open: dict[int, str] = {}
        self.answered: set[int] = set()
        self.served: dict[str, set[int]] = {name: set() for name in MODELS}
        self.engines: dict[str, str] = {}

    def happen(self, event: scheduler.Event) -> tuple[scheduler.Action, ...]:
        before = self.state
        self.state, actions = scheduler.decide(self.state, event, self.now)
        for action in actions:
            match action:
                case Serve(ticket=ticket):
                    assert ticket in self.open
                    assert not self.state.is_closing
                    assert ticket not in self.answered
                    assert self.engines[self.open[ticket]] == "ready"
                    self.answered.add(ticket)
                    self.served[self.open[ticket]].add(ticket)
                case Refuse(ticket=ticket, reason=reason, retry_after_seconds=seconds):
                    assert ticket in self.open
                    assert ticket not in self.answered
                    assert (seconds is None) == (reason is Refusal.DOES_NOT_FIT)
                    assert seconds is None or seconds >= 1
                    self.answered.add(ticket)
                case Start(model=name):
                    assert name not in self.engines
                    self.engines[name] = "starting"
                case Stop(model=name):
                    assert self.engines[name] in ("starting", "ready")
                    if not isinstance(event, scheduler.Shutdown):
                        assert not self.served[name], "a model in mid-answer was stopped"
                        own = isinstance(event, scheduler.Unload) and event.model == name
                        drained = before.models[name].leaving is scheduler.Leaving.ASKED
                        assert own or drained or not self.state.models[name].terms.pinned, "a pinned model was stopped"
                    self.engines[name] = "stopping"
        return actions

    @rule(target=requests, model=st.sampled_from(MODELS))
    def ask(self, model: str) -> int:
        self.tickets += 1
        self.open[self.tickets] = model
        self.happen(scheduler.Asked(model, self.tickets))
        return self.tickets

    @rule(ticket=consumes(requests), served=st.booleans())
    def leave(self, ticket: int, served: bool) -> None:
        self.leaves(ticket, served)

    def leaves(self, ticket: int, served: bool) -> None:
        model = self.open[ticket]
        self.served[model].discard(ticket)
        self.happen(scheduler.Left(model, ticket, served))
        del self.open[ticket]

    @rule(model=st.sampled_from(MODELS))
    def preload(self, model: str) -> None:
        assert not [action for action in self.happen(scheduler.Preload(model)) if isinstance(action, Stop)]

    @rule(model=st.sampled_from(MODELS))
    def unload(self, model: str) -> None:
        self.happen(scheduler.Unload(model))

    @rule(model=st.sampled_from(MODELS))
    def engine_ready(self, model: str) -> None:
        if self.engines.get(model) == "starting":
            self.engines[model] = "ready"
            self.happen(scheduler.Started(model))

    @rule(model=st.sampled_from(MODELS))
    def engine_is_dying(self, model: str) -> None:
        if self.engines.get(model) == "ready":
            self.engines[model] = "dying"
            self.served[model].clear()
            self.happen(scheduler.Dying(model))

    @rule(model=st.sampled_from(MODELS))
    def engine_ends(self, model: str) -> None:
        if model in self.engines:
            del self.engines[model]
            self.served[model].clear()
            self.happen(scheduler.Ended(model, "killed"))

    @rule()
    def memory_runs_out(self) -> None:
        self.happen(scheduler.Pressure())

    @rule(seconds=st.floats(0, 40))
    def time_passes(self, seconds: float) -> None:
        """The clock rings whenever it was asked to, and late."""
        self.now += seconds
        self.happen(scheduler.Tick())

    @precondition(lambda self: self.tickets > 12)
    @rule()
    def close(self) -> None:
        self.happen(scheduler.Closing())

    @precondition(lambda self: self.state.is_closing)
    @rule()
    def shut_down(self) -> None:
        self.happen(scheduler.Shutdown())

    @invariant()
    def the_budget_holds(self) -> None:
        for place, budget in self.state.budget.items():
            held = sum(self.state.models[name].terms.need.get(place, 0) for name in self.engines)
            assert held == self.state.used().get(place, 0)
            assert held <= budget

    @invariant()
    def every_open_request_waits_or_is_answered(self) -> None:
        for ticket, name in self.open.items():
            waiting = ticket in {each.ticket for each in self.state.models[name].waiting}
            assert waiting != (ticket in self.answered)

    @invariant()
    def queues_stay_within_their_limits_and_in_order(self) -> None:
        for model in self.state.models.values():
            assert len(model.waiting) <= 4
            assert list(model.waiting) == sorted(model.waiting, key=lambda each: each.since)
            if model.terms.at_once is not None:
                assert len(model.serving) <= model.terms.at_once
        assert sum(len(model.waiting) for model in self.state.models.values()) <= 7

    @invariant()
    def phase_follows_the_engine(self) -> None:
        for name, model in self.state.models.items():
            assert (model.phase in (Phase.STOPPED, Phase.FAILED)) == (name not in self.engines)

    @invariant()
    def the_clock_rings_for_all_that_wait(self) -> None:
        """Whatever else happens or does not: a wait has an end."""
        if any(model.waiting for model in self.state.models.values()):
            assert scheduler.next_time(self.state, self.now) is not None

    @invariant()
    def whoever_waits_waits_for_something_that_comes(self) -> None:
        """No deadlock: something starts or ends, an answer is given, or a pause after a failure is kept."""
        waiting = [model for model in self.state.models.values() if model.waiting]
        moves = any(phase in ("starting", "stopping", "dying") for phase in self.engines.values())
        pauses = any(self.now < model.not_before for model in waiting)
        assert not waiting or moves or pauses or any(self.served.values())

    def teardown(self) -> None:
        """With everything served in the end, all that wait are served or refused."""
        if not hasattr(self, "state"):
            return
        for _ in range(400):
            if not self.open:
                break
            for name, engine in list(self.engines.items()):
                if engine == "starting":
                    self.engine_ready(name)
                elif engine in ("stopping", "dying"):
                    self.engine_ends(name)
            for ticket in [ticket for ticket in self.open if ticket in self.answered]:
                self.leaves(ticket, served=True)
            self.time_passes_to_the_next_ring()
        assert not self.open, f"never answered: {self.open}"

    def time_passes_to_the_next_ring(self) -> None:
        rings = scheduler.next_time(self.state, self.now)
        if rings is not None:
            assert rings > self.now
            self.now = rings
            self.happen(scheduler.Tick())


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)


class Simulation:
    """Engines and answers that take their time, on a clock of their own; nothing fails in it."""

    def __init__(self, needs: list[int], budget: int, load_seconds: list[float], turn_seconds: float, at_once: int):
        self.names = [f"m{index}" for index in range(len(needs))]
        models = {
            name: ModelState(terms=Terms({"memory": need}, at_once=at_once))
            for name, need in zip(self.names, needs, strict=True)
        }
        limits = Limits(10_000, 100_000, queue_seconds=1e9, turn_seconds=turn_seconds)
        self.state = State(models, {"memory": budget}, limits)
        self.load_seconds = dict(zip(self.names, load_seconds, strict=True))
        self.now = 0.0
        self.coming: list[tuple[float, int, scheduler.Event]] = []
        self.order = itertools.count()
        self.asked: dict[int, tuple[str, float, float]] = {}
        self.waits: dict[int, float] = {}
        self.starts = 0

    def later(self, seconds: float, event: scheduler.Event) -> None:
        heapq.heappush(self.coming, (self.now + seconds, next(self.order), event))

    def run(self, requests: list[tuple[float, str, float]]) -> None:
        for ticket, (at, name, seconds) in enumerate(requests):
            self.asked[ticket] = (name, at, seconds)
            heapq.heappush(self.coming, (at, next(self.order), scheduler.Asked(name, ticket)))
        while self.coming or scheduler.next_time(self.state, self.now) is not None:
            rings = scheduler.next_time(self.state, self.now)
            if rings is not None and (not self.coming or rings < self.coming[0][0]):
                self.now, event = rings, scheduler.Tick()
            else:
                self.now, _, event = heapq.heappop(self.coming)
            self.happen(event)

    def happen(self, event: scheduler.Event) -> None:
        self.state, actions = scheduler.decide(self.state, event, self.now)
        assert self.state.used().get("memory", 0) <= self.state.budget["memory"]
        for action in actions:
            match action:
                case Serve(ticket=ticket):
                    name, at, seconds = self.asked[ticket]
                    self.waits[ticket] = self.now - at
                    self.later(seconds, scheduler.Left(name, ticket, served=True))
                case Start(model=name):
                    self.starts += 1
                    self.later(self.load_seconds[name], scheduler.Started(name))
                case Stop(model=name):
                    assert not self.state.models[name].serving
                    self.later(0.3, scheduler.Ended(name, "stopped"))
                case Refuse():
                    raise AssertionError(action)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_everyone_is_served_within_a_bound_however_busy_the_others_are(data):
    count = data.draw(st.integers(2, 4))
    needs = data.draw(st.lists(st.integers(1, 10), min_size=count, max_size=count))
    loads = data.draw(st.lists(st.floats(0.1, 4), min_size=count, max_size=count))
    turn, at_once = data.draw(st.sampled_from((0.5, 2.0, 5.0))), data.draw(st.integers(1, 3))
    play = Simulation(needs, data.draw(st.integers(10, 20)), loads, turn, at_once)
    one = st.tuples(st.floats(0, 30), st.sampled_from(play.names), st.floats(0.01, 3))
    requests = sorted(data.draw(st.lists(one, min_size=1, max_size=60)))
    play.run(requests)

    assert len(play.waits) == len(requests)
    longest_step = max(turn, max(loads)) + 3 + max(loads) + 0.3
    for ticket, wait in play.waits.items():
        name, at, _ = play.asked[ticket]
        ahead = [other for other in range(ticket) if play.asked[other][0] == name]
        ahead = [other for other in ahead if play.asked[other][1] + play.waits[other] >= at]
        assert wait <= (len(ahead) + 1) * count * longest_step


def test_a_model_that_is_never_idle_does_not_starve_another():
    play = Simulation([8, 8], 10, [1.0, 1.0], 5.0, at_once=2)
    busy = [(0.1 * number, "m0", 1.0) for number in range(600)]
    play.run(sorted([*busy, (10.0, "m1", 1.0)]))
    (single,) = [ticket for ticket, (name, _, _) in play.asked.items() if name == "m1"]

    assert play.waits[single] <= 3.0  # an answer of m0, its end, and the load


def test_two_busy_models_in_the_room_of_one_take_turns_and_do_not_thrash():
    play = Simulation([8, 8], 10, [1.0, 1.0], 5.0, at_once=4)
    play.run(sorted((0.1 * number, f"m{number % 2}", 0.2) for number in range(600)))

    assert play.now < 130
    assert play.starts <= 2 + play.now / 5
    assert max(play.waits.values()) < 20


def test_a_turn_lasts_at_least_as_long_as_the_load_took():
    play = Simulation([8, 8], 10, [20.0, 20.0], 1.0, at_once=1)
    play.run(sorted((0.5 * number, f"m{number % 2}", 0.4) for number in range(400)))

    assert play.starts <= 2 + play.now / 40


def state_of(**each: Terms) -> State:
    return State({name: ModelState(terms=own) for name, own in each.items()}, {"memory": 10})


def play(state: State, *events: scheduler.Event | float) -> tuple[State, tuple[scheduler.Action, ...]]:
    """The state after all events, and the actions of the last; a number is the time of what follows."""
    now, actions = 0.0, ()
    for event in events:
        if isinstance(event, float):
            now = event
        else:
            state, actions = scheduler.decide(state, event, now)
    return state, actions


def ready(state: State, *names: str) -> State:
    for name in names:
        state, _ = play(state, scheduler.Preload(name), scheduler.Started(name))
        assert state.models[name].phase is Phase.READY
    return state


def test_the_least_recently_used_goes_and_nobody_in_vain():
    state = ready(state_of(a=Terms({"memory": 3}), b=Terms({"memory": 6}), c=Terms({"memory": 6})), "a", "b")
    state, _ = play(state, 1.0, scheduler.Asked("a", 1), 2.0, scheduler.Left("a", 1, served=True))
    state, actions = play(state, 3.0, scheduler.Asked("c", 2))

    assert actions == (Stop("b"),)
    state, actions = play(state, 4.0, scheduler.Ended("b", "stopped"))
    assert actions == (Start("c"),)
    assert state.models["a"].phase is Phase.READY


def test_memory_is_free_only_when_the_process_has_ended():
    state = ready(state_of(a=Terms({"memory": 6}), b=Terms({"memory": 6})), "a")
    state, actions = play(state, scheduler.Asked("b", 1))
    assert actions == (Stop("a"),)
    assert state.used() == {"memory": 6}
    state, actions = play(state, scheduler.Ended("a", "stopped"))

    assert actions == (Start("b"),)


def test_a_model_in_mid_answer_is_waited_for_and_lets_nobody_else_in():
    state = ready(state_of(a=Terms({"memory": 6}), b=Terms({"memory": 6})), "a")
    state, _ = play(state, 10.0, scheduler.Asked("a", 1))
    state, actions = play(state, 10.0, scheduler.Asked("b", 2))
    assert (actions, state.models["a"].phase) == ((), Phase.DRAINING)
    state, actions = play(state, 10.0, scheduler.Asked("a", 3))
    assert actions == ()
    state, actions = play(state, 90.0, scheduler.Left("a", 1, served=True))
    assert actions == (Stop("a"),)
    state, _ = play(state, 91.0, scheduler.Ended("a", "stopped"))
    state, actions = play(state, 92.0, scheduler.Started("b"))

    assert actions == (Serve(2),)


def test_a_drain_that_nobody_needs_any_more_is_called_off():
    state = ready(state_of(a=Terms({"memory": 6}), b=Terms({"memory": 6})), "a")
    state, _ = play(state, 10.0, scheduler.Asked("a", 1), scheduler.Asked("b", 2), scheduler.Asked("a", 3))
    state, actions = play(state, 11.0, scheduler.Left("b", 2))

    assert actions == (Serve(3),)
    assert state.models["a"].phase is Phase.READY


def test_what_can_never_fit_is_refused_with_the_sum_and_no_time():
    state = state_of(a=Terms({"memory": 6}, pinned=True), b=Terms({"memory": 6}), c=Terms({"memory": 11}))
    _, (beside,) = play(state, scheduler.Asked("b", 1))
    _, (alone,) = play(replace(state, models={"c": state.models["c"]}), scheduler.Asked("c", 2))

    assert beside == Refuse(
        1, Refusal.DOES_NOT_FIT,
        "b needs 6 B of main memory; the budget is 10 B, of which 6 B are pinned for other models",
    )  # fmt: skip
    assert alone.cause == "c needs 11 B of main memory; the budget is 10 B"


def test_a_pinned_model_stays_however_long_nobody_asks():
    state = ready(state_of(a=Terms({"memory": 4}, pinned=True, keep_alive_seconds=1.0), b=Terms({"memory": 6})), "a")
    state, _ = play(state, 1000.0, scheduler.Tick(), scheduler.Pressure(), scheduler.Asked("b", 1))

    assert state.models["a"].phase is Phase.READY
    assert scheduler.next_time(ready(state_of(a=Terms(pinned=True, keep_alive_seconds=1.0)), "a"), 0.0) is None


@pytest.mark.parametrize("seconds", [0.0, 3.0])
def test_a_model_is_kept_for_as_long_as_it_was_told(seconds):
    state = ready(state_of(a=Terms(keep_alive_seconds=100.0)), "a")
    model = replace(state.models["a"], terms=Terms(keep_alive_seconds=seconds))
    state = replace(state, models={"a": model})
    state, _ = play(state, scheduler.Asked("a", 1))
    state, actions = play(state, 7.0, scheduler.Left("a", 1, served=True))
    if seconds:
        assert actions == ()
        assert scheduler.next_time(state, 7.0) == 10.0
        state, actions = play(state, 10.0, scheduler.Tick())

    assert actions == (Stop("a"),)


def test_a_younger_load_takes_only_what_older_ones_leave():
    state = ready(state_of(a=Terms({"memory": 8}), b=Terms({"memory": 9}), c=Terms({"memory": 2})), "a")
    state, _ = play(state, 10.0, scheduler.Asked("a", 1), scheduler.Asked("b", 2), scheduler.Asked("c", 3))

    assert state.models["c"].phase is Phase.STOPPED  # there is room now, but b would wait for it later
    smaller = replace(state.models["b"], terms=Terms({"memory": 8}))
    _, actions = play(replace(state, models=state.models | {"b": smaller}), 10.0, scheduler.Tick())
    assert actions == (Start("c"),)


def test_each_place_has_its_own_budget():
    on_gpu, on_host = Terms({"gpu0": 8, "memory": 1}), Terms({"memory": 8})
    state = replace(state_of(a=on_gpu, b=on_host, c=on_gpu), budget={"memory": 10, "gpu0": 10})
    state = ready(state, "a", "b")
    state, actions = play(state, scheduler.Asked("c", 1))

    assert actions == (Stop("a"),)


def test_pressure_sends_the_longest_idle_away_one_at_a_time():
    state = ready(state_of(a=Terms({"memory": 2}), b=Terms({"memory": 2})), "a", "b")
    state, _ = play(state, 5.0, scheduler.Asked("a", 1), scheduler.Left("a", 1, served=True))
    state, actions = play(state, 6.0, scheduler.Pressure())
    assert actions == (Stop("b"),)

    assert play(state, 6.0, scheduler.Pressure())[1] == ()


@given(st.integers(1, 1000))
def test_the_pause_after_failures_grows_to_half_a_minute(failures):
    pause = scheduler.back_off_seconds(failures)

    assert 0 <= pause <= 30
    assert pause <= scheduler.back_off_seconds(failures + 1)


def test_a_request_that_meets_a_dying_engine_gets_the_next_one():
    state, actions = play(ready(State({"a": ModelState()}), "a"), scheduler.Dying("a"), scheduler.Asked("a", 1))
    assert actions == ()
    state, actions = play(state, scheduler.Ended("a", "killed"))
    assert actions == (Start("a"),)
    assert play(state, scheduler.Started("a"))[1] == (Serve(1),)


def test_one_that_is_asked_again_keeps_its_place():
    state = State({"a": ModelState(terms=Terms(at_once=1))})
    state, _ = play(state, 1.0, scheduler.Asked("a", 1), 2.0, scheduler.Asked("a", 2))
    state, _ = play(state, 3.0, scheduler.Asked("a", 3, since=0.5))

    assert [each.ticket for each in state.models["a"].waiting] == [3, 1, 2]


def test_a_crash_loop_opens_the_breaker_and_one_request_tries_it():
    state = State({"a": ModelState()})
    for _ in range(3):
        state, _ = play(state, 0.0, scheduler.Tick())
        state = replace(state, models={"a": replace(state.models["a"], not_before=0.0)})
        state, _ = play(state, scheduler.Preload("a"), scheduler.Started("a"), scheduler.Dying("a"))
        state, _ = play(state, scheduler.Ended("a", "out of memory"))
    assert state.models["a"].breaker(0.5, state.limits) is Breaker.OPEN

    state, actions = play(state, 0.5, scheduler.Asked("a", 1))
    assert actions == (Refuse(1, Refusal.UNAVAILABLE, "out of memory", 2),)

    state, actions = play(state, 2.0, scheduler.Asked("a", 2))
    assert actions == (Start("a"),)
    assert state.models["a"].breaker(2.0, state.limits) is Breaker.HALF_OPEN
    state, actions = play(state, 2.1, scheduler.Asked("a", 3), scheduler.Started("a"))
    assert actions == (Serve(2),)
    state, actions = play(state, 2.2, scheduler.Left("a", 2, served=True))
    assert actions == (Serve(3),)
    assert state.models["a"].breaker(2.2, state.limits) is Breaker.CLOSED


def test_a_start_that_fails_tells_those_that_wait_at_once():
    _, actions = play(State({"a": ModelState()}), scheduler.Asked("a", 1), scheduler.Ended("a", "no such device"))

    assert actions == (Refuse(1, Refusal.UNAVAILABLE, "no such device", 1),)


def test_an_answer_of_a_life_that_has_ended_proves_nothing_of_the_next():
    state = ready(State({"a": ModelState()}), "a")
    state, _ = play(state, scheduler.Asked("a", 1), scheduler.Dying("a"), scheduler.Ended("a", "killed"))
    state, _ = play(state, scheduler.Left("a", 1, served=True))

    assert state.models["a"].failures == 1


def test_who_unloads_a_failed_model_has_it_tried_again():
    state = State({"a": ModelState(phase=Phase.FAILED, failures=9, not_before=30.0, cause="no such device")})
    state, _ = play(state, scheduler.Unload("a"))

    assert play(state, scheduler.Asked("a", 1))[1] == (Start("a"),)


def test_a_wait_ends_with_a_refusal_and_a_time_to_come_back():
    state = replace(state_of(a=Terms(at_once=1)), limits=Limits(queue_seconds=5.0))
    state, _ = play(ready(state, "a"), scheduler.Asked("a", 1), scheduler.Asked("a", 2))
    assert scheduler.next_time(state, 0.0) == 5.0
    _, actions = play(state, 5.0, scheduler.Tick())

    assert actions == (Refuse(2, Refusal.QUEUE_TIMEOUT, "a was not free within 5 s", 30),)


@given(st.data())
def test_the_quick_way_decides_what_the_whole_one_does(data):
    """In a calm state, with and without its short cut."""
    own = data.draw(terms())
    model = ModelState(
        own, Phase.READY, failures=data.draw(st.integers(0, 4)), serving=data.draw(st.frozensets(st.integers(0, 3))),
        cause="c", not_before=1.0, since=2.0, load_seconds=3.0, idle_since=4.0,
    )  # fmt: skip
    calm = State({"a": model, "b": ModelState()}, {"memory": 100, "gpu0": 100}, is_calm=True)
    event = data.draw(
        st.one_of(
            st.just(scheduler.Asked("a", 9)),
            st.builds(scheduler.Left, st.just("a"), st.integers(0, 3), st.booleans()),
        )
    )

    quick, whole = (scheduler.decide(replace(calm, is_calm=is_calm), event, 10.0) for is_calm in (True, False))
    assert quick[1] == whole[1]
    assert quick[0].models == whole[0].models


@given(st.data())
def test_a_request_that_is_passed_by_would_have_been_served_and_changed_nothing_else(data):
    own = data.draw(terms())
    passing = data.draw(st.integers(0, 4))
    model = ModelState(
        own, data.draw(st.sampled_from(list(Phase))), failures=data.draw(st.integers(0, 4)),
        serving=data.draw(st.frozensets(st.integers(10, 13))), since=2.0, load_seconds=3.0, idle_since=4.0,
    )  # fmt: skip
    state = State({"a": model, "b": ModelState()}, {"memory": 100, "gpu0": 100}, is_calm=data.draw(st.booleans()))
    if not scheduler.is_passed_by(state, "a", passing):
        return
    for ticket in range(passing):
        state, actions = scheduler.decide(state, scheduler.Asked("a", ticket), 9.0)
        assert actions == (Serve(ticket),)
    asked, actions = scheduler.decide(state, scheduler.Asked("a", 9), 10.0)

    assert actions == (Serve(9),)
    assert asked.models == {**state.models, "a": replace(state.models["a"], serving=state.models["a"].serving | {9})}
