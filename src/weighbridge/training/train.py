"""Training of a specialist: draws its lane's conversations without end and learns to give the answers."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from . import lanes
from .network import Network, Shape
from .tokenizer import ASSISTANT, END, SYSTEM, THINK, THINK_END, USER, learn

SYSTEM_PROMPTS = (
    "You are a helpful assistant.", "You are a helpful AI assistant. Be brief.", "Answer the question.", "Be concise.",
    "You are a careful assistant. Answer shortly and exactly.", "Follow the user's instructions.",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that decides what a specialist becomes; the same recipe on the same PyTorch gives the same weights."""

    lane: str
    cycles: tuple[int, ...]
    """Steps of each cycle; in each the learning rate rises, stays and falls to zero, and the items are new."""
    shape: Shape = field(default_factory=Shape)
    tokens_a_step: int = 2048
    short_length: int = 128
    """Tokens a row in the first part, where the skill itself is learnt, with few turns in sight."""
    long_share: float = 0.3
    """The last part of the steps, in rows as long as the context: there it learns to heed the last question of many."""
    threads: int = 2
    learning_rate: float = 0.002
    warm_up: float = 0.02
    cool_down: float = 0.4
    foreign_share: float = 0.06
    seed: int = 2026


@dataclass(frozen=True, slots=True)
class Progress:
    """How far training is: steps done and wanted, the loss in nats an answer token, seconds used."""

    step: int
    steps: int
    loss: float
    seconds: float
    tokens: int
    exact: float | None = None


@dataclass(frozen=True, slots=True)
class Specialist:
    """A trained network with its tokenizer."""

    recipe: Recipe
    network: Network
    tokenizer: Tokenizer
    shows_working: bool
    seconds: float


def _conversation_turn(lane: lanes.Lane, siblings: list[lanes.Lane], share: float, rng: random.Random) -> lanes.Item:
    draw = rng.random()
    if draw > share:
        return lane.sample(rng, held_out=False)
    if draw > share / 2 or not siblings:
        return lane.foreign(rng)
    stranger = rng.choice(siblings).sample(rng, held_out=False)
    return lanes.Item(stranger.prompt, lane.DECLINE, "foreign")


def _full_answer(item: lanes.Item) -> str:
    """What the network must say: its working, where the lane shows it, then the answer."""
    return f"{THINK}{item.working}{THINK_END}{item.answer}" if item.working else item.answer


class Rows:
    """Endless batches of conversations: one conversation a row, as many turns as fit.

    A target is the next token where that token belongs to an answer, else -100 (which the loss passes over): a
    specialist must answer questions, not invent them. Earlier turns often lack their working, since clients send back
    answers alone.
    """

    def __init__(self, recipe: Recipe, tokenizer: Tokenizer, cycle: int = 0) -> None:
        self.recipe = recipe
        self.tokenizer = tokenizer
        self.lane = lanes.get(recipe.lane)
        self.siblings = [lanes.get(name) for name in lanes.names() if name != recipe.lane]
        self.rng = random.Random(f"{recipe.lane}:{recipe.seed + cycle}")
        self.user, self.assistant, self.system, self.end = (
            tokenizer.token_to_id(marker) for marker in (USER, ASSISTANT, SYSTEM, END)
        )
        self.turns = self._turns()

    def _turns(self) -> Iterator[tuple[list[int], list[int], list[int]]]:
        """Question, full answer and bare answer of one turn, as ids."""
        while True:
            items = [
                _conversation_turn(self.lane, self.siblings, self.recipe.foreign_share, self.rng) for _ in range(512)
            ]
            prompts = self.tokenizer.encode_batch([item.prompt for item in items])
            answers = self.tokenizer.encode_batch([_full_answer(item) for item in items])
            bare = self.tokenizer.encode_batch([item.answer for item in items])
            for prompt, answer, short in zip(prompts, answers, bare, strict=True):
                asked = [self.user, *prompt.ids, self.end, self.assistant]
                yield asked, [*answer.ids, self.end], [*short.ids, self.end]

    def _row(self, length: int) -> tuple[list[int], list[int]]:
        ids: list[int] = []
        targets: list[int] = []
        if self.rng.random() < 0.2:
            text = self.rng.choice(SYSTEM_PROMPTS)
            ids += [self.system, *self.tokenizer.encode(text).ids, self.end]
            targets += [-100] * len(ids)
        while len(ids) <= length:
            asked, answered, bare = next(self.turns)
            if answered != bare and self.rng.random() < 0.3:
                ids += asked + bare
                targets += [-100] * len(asked + bare)
                continue
            ids += asked + answered
            # Position i predicts the token at i + 1: the last marker of the question predicts the answer's first token.
            targets += [-100] * (len(asked) - 1) + answered + [-100]
        return ids[:length], targets[:length]

    def batch(self, length: int) -> tuple[Tensor, Tensor]:
        """(tokens_a_step / length, length) ids and targets."""
        rows = [self._row(length) for _ in range(self.recipe.tokens_a_step // length)]
        return torch.tensor([ids for ids, _ in rows]), torch.tensor([targets for _, targets in rows])


@torch.no_grad()  # type: ignore[untyped-decorator]
def exact_share(network: Network, tokenizer: Tokenizer, items: list[lanes.Item]) -> float:
    """The share of items whose whole answer is the network's first choice, token by token."""
    user, assistant, end = (tokenizer.token_to_id(marker) for marker in (USER, ASSISTANT, END))
    right = 0
    for item in items:
        asked = [user, *tokenizer.encode(item.prompt).ids, end, assistant]
        answered = [*tokenizer.encode(_full_answer(item)).ids, end]
        states = network(torch.tensor([asked + answered]))[0, len(asked) - 1 : -1]
        right += network.logits(states).argmax(-1).tolist() == answered
    return right / len(items)


def train(recipe: Recipe, report: Callable[[Progress], None] = lambda progress: None) -> Specialist:
    """A specialist for `recipe.lane`; `report` hears of the progress every 100 steps.

    AdamW; the learning rate rises over the first 2 % of the steps, stays, and falls in a straight line to zero over the
    last 40 %.
    """
    started = time.monotonic()
    torch.manual_seed(recipe.seed)
    torch.set_num_threads(recipe.threads)
    lane, rng = lanes.get(recipe.lane), random.Random(recipe.seed)
    corpus = [lane.sample(rng, held_out=False) for _ in range(20_000)]
    corpus += [lane.foreign(rng) for _ in range(1_000)]
    texts = [text for item in corpus for text in (item.prompt, item.answer, item.working)]
    tokenizer = learn([*texts, *SYSTEM_PROMPTS * 20], recipe.shape.vocabulary_size)

    network = Network(recipe.shape)
    watched = list(lanes.held_out_items(recipe.lane, 100, seed=recipe.seed + 1))
    done = 0
    for cycle, steps in enumerate(recipe.cycles):
        rows = Rows(recipe, tokenizer, cycle)
        for step, loss in _cycle(recipe, network, rows, steps):
            done += 1
            if done % 100 == 0 or step == steps:
                exact = exact_share(network, tokenizer, watched) if done % 500 == 0 or step == steps else None
                tokens = done * recipe.tokens_a_step
                report(Progress(done, sum(recipe.cycles), loss.item(), time.monotonic() - started, tokens, exact))
    return Specialist(recipe, network, tokenizer, bool(corpus[0].working), time.monotonic() - started)


def _cycle(recipe: Recipe, network: Network, rows: Rows, steps: int) -> Iterator[tuple[int, Tensor]]:
    """One rise and fall of the learning rate; each step's number and loss."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    warm_up, cool_down = max(1, int(steps * recipe.warm_up)), max(1, int(steps * recipe.cool_down))
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / warm_up, (steps - step) / cool_down)
    )
    for step in range(1, steps + 1):
        is_long = step > steps * (1 - recipe.long_share)
        ids, targets = rows.batch(recipe.shape.context_length if is_long else recipe.short_length)
        answers = targets >= 0
        # Scores are computed only where an answer is asked for.
        loss = functional.cross_entropy(network.logits(network(ids)[answers]), targets[answers])
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad(set_to_none=True)
        yield step, loss
