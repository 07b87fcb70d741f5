"""Integer arithmetic asked in plain English: sums and differences of numbers up to 999; products of a number up to 999
and one digit, or of two numbers up to 99.

The answer is the number alone. Before it stands the working, column by column as it is taught at school, which servers
show apart as reasoning: each step is then a small fact, which a network of this size learns far sooner. Held out are operand pairs: one in ten never occurs in training,
whatever the phrasing.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from . import Item, is_held_out

NAME = "arithmetic"
TITLE = "integer arithmetic asked in plain English"
DECLINE = "I only do arithmetic with whole numbers."
TOO_LARGE = "That is beyond me: I learned sums of numbers up to 999 and products of two numbers up to 99."

THINGS = (
    "apples books coins stamps marbles cookies tickets pencils eggs stickers cards bottles shells chairs boxes".split()
)
PEOPLE = "Tom Anna Mia Ben Lena Omar Priya Kenji Sara Luis Nina Paul Ivan Zoe Ali Emma".split()

GAINS = "buys|finds|gets|receives|wins|collects|makes|earns|adds|picks".split("|")
GAINED = "bought|found|got|received|won|collected|made|earned|added|picked".split("|")
LOSES = "eats|loses|sells|spends|breaks|drops|uses|removes|returns|hides|gives away|throws away".split("|")
LOST = "ate|lost|sold|spent|broke|dropped|used|removed|returned|hid|gave away|threw away".split("|")

PHRASES: dict[str, tuple[str, ...]] = {
    "add": (
        "What is {a} plus {b}?",
        "What's {a} plus {b}?",
        "What is {a} + {b}?",
        "What's {a} + {b}?",
        "{a} + {b}",
        "{a}+{b}",
        "{a} + {b} =",
        "{a}+{b}=?",
        "{a} plus {b}",
        "{a} plus {b} equals what?",
        "{a} plus {b} is?",
        "Add {a} and {b}.",
        "Add {b} to {a}.",
        "Can you add {a} and {b}?",
        "Calculate {a} + {b}.",
        "Calculate {a} plus {b}.",
        "Compute {a} + {b}.",
        "Compute the sum of {a} and {b}.",
        "What is the sum of {a} and {b}?",
        "Give me the sum of {a} and {b}.",
        "How much is {a} plus {b}?",
        "How much is {a} + {b}?",
        "How much is {a} and {b} together?",
        "What do you get when you add {a} and {b}?",
        "What does {a} + {b} equal?",
        "Tell me {a} plus {b}.",
        "Work out {a} + {b}.",
        "{a} and {b} make how much?",
        "Solve {a} + {b}.",
        "If you add {b} to {a}, what do you get?",
        "{who} has {a} {things} and gets {b} more. How many {things} does {who} have?",
        "{who} had {a} {things} and bought {b} more. How many {things} are there now?",
        "There are {a} {things} here and {b} {things} there. How many {things} in total?",
        "I have {a} {things} and you have {b}. How many do we have together?",
        "{who} has {a} {things} and {gains} {b}. How many are there now?",
        "{who} had {a} {things} and {gained} {b} more. How many {things} does {who} have now?",
        "I had {a} {things} and {gained} {b} more. How many do I have now?",
        "What is {a} and {b} added together?",
        "{a} added to {b}",
        "What is {b} more than {a}?",
        "Find the sum of {a} and {b}.",
        "Sum {a} and {b}.",
        "The sum of {a} and {b} is?",
        "whats {a} + {b}",
        "whats {a} plus {b}",
        "how much does {a} plus {b} make",
    ),
    "subtract": (
        "What is {a} minus {b}?",
        "What's {a} minus {b}?",
        "What is {a} - {b}?",
        "What's {a} - {b}?",
        "{a} - {b}",
        "{a}-{b}",
        "{a} - {b} =",
        "{a}-{b}=?",
        "{a} minus {b}",
        "{a} minus {b} equals what?",
        "{a} minus {b} is?",
        "Subtract {b} from {a}.",
        "Can you subtract {b} from {a}?",
        "Take {b} away from {a}.",
        "Calculate {a} - {b}.",
        "Calculate {a} minus {b}.",
        "Compute {a} - {b}.",
        "How much is {a} minus {b}?",
        "How much is {a} - {b}?",
        "What is {a} less {b}?",
        "What do you get when you subtract {b} from {a}?",
        "What does {a} - {b} equal?",
        "Tell me {a} minus {b}.",
        "Work out {a} - {b}.",
        "Solve {a} - {b}.",
        "If you take {b} from {a}, what do you get?",
        "What is left when you take {b} from {a}?",
        "What is {b} less than {a}?",
        "{a} take away {b}",
        "{b} subtracted from {a}",
        "Deduct {b} from {a}.",
        "whats {a} - {b}",
        "whats {a} minus {b}",
    ),
    "multiply": (
        "What is {a} times {b}?",
        "What's {a} times {b}?",
        "What is {a} * {b}?",
        "What's {a} x {b}?",
        "{a} * {b}",
        "{a}*{b}",
        "{a} x {b}",
        "{a} × {b}",
        "{a} * {b} =",
        "{a}*{b}=?",
        "{a} times {b}",
        "{a} times {b} equals what?",
        "{a} times {b} is?",
        "Multiply {a} by {b}.",
        "Multiply {a} and {b}.",
        "Can you multiply {a} by {b}?",
        "Calculate {a} * {b}.",
        "Calculate {a} times {b}.",
        "Compute {a} x {b}.",
        "Compute the product of {a} and {b}.",
        "What is the product of {a} and {b}?",
        "What is {a} multiplied by {b}?",
        "How much is {a} times {b}?",
        "How much is {a} * {b}?",
        "What do you get when you multiply {a} by {b}?",
        "What does {a} * {b} equal?",
        "Tell me {a} times {b}.",
        "Work out {a} x {b}.",
        "Solve {a} * {b}.",
        "There are {a} boxes with {b} {things} each. How many {things} in total?",
        "{who} buys {a} packs of {b} {things}. How many {things} is that?",
        "{who} has {a} bags with {b} {things} in each. How many {things} does {who} have?",
        "If one box holds {a} {things}, how many do {b} boxes hold?",
        "One ticket costs {a}. What do {b} tickets cost?",
        "Find the product of {a} and {b}.",
        "The product of {a} and {b} is?",
        "whats {a} times {b}",
        "whats {a} * {b}",
    ),
}
# Only where the result can't be negative do these make sense.
LARGER_FIRST: tuple[str, ...] = (
    "What is the difference between {a} and {b}?",
    "Find the difference between {a} and {b}.",
    "{who} had {a} {things} and gave away {b}. How many {things} are left?",
    "{who} has {a} {things} and {loses} {b}. How many {things} does {who} have now?",
    "{who} has {a} {things} and {loses} {b}. How many are left?",
    "{who} had {a} {things} and {lost} {b} of them. How many are left?",
    "I had {a} {things} and {lost} {b}. How many do I have left?",
    "From {a} {things}, {b} are taken away. How many remain?",
    "There were {a} {things} and {b} were sold. How many {things} remain?",
    "How much more is {a} than {b}?",
)
# Never in training: they show how far the skill carries beyond the phrasings that were trained.
UNSEEN_PHRASES: dict[str, tuple[str, ...]] = {
    "add": ("Sum up {a} and {b}", "I need {a} plus {b}, what is it?", "What comes out if I add {a} and {b}?"),
    "subtract": ("I need {a} minus {b}, what is it?", "What remains of {a} after subtracting {b}?", "Do {a} - {b}"),
    "multiply": ("I need {a} times {b}, what is it?", "What is {a} multiplied with {b}?", "Do {a} times {b}"),
}
BEFORE = ("Hi! ", "Hello, ", "Hey, ", "Please tell me: ", "Quick question: ", "Please help. ", "Question: ", "Math: ")
AFTER = (" Thanks!", " Please.", " Answer with just the number.", " Reply with only the number.", " Just the number.")

CHATTER = (
    "Hello", "Hi", "How are you?", "Who are you?", "What can you do?", "Tell me a joke.", "Write a poem about the sea.",
    "What is the capital of France?", "Translate 'good morning' into German.", "Who wrote Hamlet?", "Thank you!",
    "Write a Python function that sorts a list.", "What is the weather today?", "Summarize this text for me.",
    "Explain photosynthesis.", "Is it raining?", "Give me a recipe for pancakes.", "What is love?", "Good morning",
    "How do I learn to swim?", "What is the tallest mountain?", "Name three colours.", "Correct my spelling: helo wrld",
    "Extract the name and the date.", "Once upon a time", "What time is it?", "Describe your favourite book.",
    "Why is the sky blue?", "Which language do they speak in Brazil?", "Draft an email to my boss.",
)  # fmt: skip
SUBJECTS = "the sea|a cat|my garden|the city of Rome|a long journey|the moon|an old house|music|winter|bread".split("|")
REQUESTS = (
    "Write a story about {s}.", "Tell me about {s}.", "What do you know about {s}?", "Describe {s}.", "Explain {s} to me.",
    "Who invented {s}?", "Write a short poem about {s}.", "Translate {s} into French.", "Give me facts about {s}.",
)  # fmt: skip

ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()

OPERATIONS: dict[str, Callable[[int, int], int]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
}


def _digits(number: int, count: int) -> list[int]:
    """The last `count` digits, ones first."""
    return [number // 10**place % 10 for place in range(count)]


def _add_columns(a: list[int], b: list[int]) -> list[str]:
    columns, carry = [], 0
    for upper, lower in zip(a, b, strict=True):
        total = upper + lower + carry
        columns.append(f"{upper}+{lower}+{carry}={total:02d}")
        carry = total // 10
    return columns


def _subtract_columns(a: list[int], b: list[int]) -> list[str]:
    """After the equals sign: what is borrowed, then the digit."""
    columns, borrowed = [], 0
    for upper, lower in zip(a, b, strict=True):
        rest = upper - lower - borrowed
        columns.append(f"{upper}-{lower}-{borrowed}={int(rest < 0)}{rest % 10}")
        borrowed = int(rest < 0)
    return columns


def _multiply_columns(a: list[int], digit: int) -> list[str]:
    columns, carry = [], 0
    for upper in a:
        total = upper * digit + carry
        columns.append(f"{upper}*{digit}+{carry}={total:02d}")
        carry = total // 10
    return columns


def working(operation: str, a: int, b: int) -> str:
    """The steps to the answer, e.g. 37 + 58: `037+058;7+8+0=15;3+5+1=09;0+0+0=00`."""
    if operation == "add":
        return ";".join([f"{a:03d}+{b:03d}", *_add_columns(_digits(a, 3), _digits(b, 3))])
    if operation == "subtract":
        shown = f"{a:03d}-{b:03d}>0" if a >= b else f"{a:03d}-{b:03d}<0;{b:03d}-{a:03d}"
        larger, smaller = max(a, b), min(a, b)
        return ";".join([shown, *_subtract_columns(_digits(larger, 3), _digits(smaller, 3))])
    long, short = max(a, b), min(a, b)
    if short < 10:
        return ";".join([f"{long:03d}*{short}", *_multiply_columns(_digits(long, 3), short)])
    ones, tens = short % 10, short // 10
    first, second = _digits(long * ones, 3), _digits(long * tens, 3)
    rows = _multiply_columns(_digits(long, 2), ones) + _multiply_columns(_digits(long, 2), tens)
    # The second row stands one place to the left; the ones of the first are the answer's own.
    return ";".join([f"{long}*{short}", *rows, *_add_columns([first[1], first[2], 0], second)])


def in_words(number: int) -> str:
    """A number from 0 to 99 as English words, e.g. 37 -> "thirty-seven"."""
    if number < 20:
        return ONES[number]
    tens, ones = divmod(number, 10)
    return TENS[tens - 2] + (f"-{ONES[ones]}" if ones else "")


def _operand(rng: random.Random) -> int:
    # As many one- and two-digit numbers as three-digit ones: people ask small sums more often.
    return rng.randrange((10, 100, 100, 1000, 1000)[rng.randrange(5)])


def _operands(rng: random.Random, operation: str) -> tuple[int, int]:
    if operation != "multiply":
        return _operand(rng), _operand(rng)
    pair = (_operand(rng), rng.randrange(10)) if rng.random() < 0.6 else (rng.randrange(100), rng.randrange(100))
    return pair if rng.random() < 0.5 else (pair[1], pair[0])


def _draw(rng: random.Random, *, held_out: bool) -> tuple[str, int, int]:
    while True:
        operation = rng.choices(("add", "subtract", "multiply"), (35, 35, 30))[0]
        a, b = _operands(rng, operation)
        first, second = (a, b) if operation == "subtract" else (min(a, b), max(a, b))
        if is_held_out(f"{operation} {first} {second}") == held_out:
            return operation, a, b


def _spell(rng: random.Random, phrase: str, a: int, b: int) -> str:
    words = a < 100 and b < 100 and phrase[0] != "{" and rng.random() < 0.12
    show = in_words if words else str
    return phrase.format(
        a=show(a),
        b=show(b),
        who=rng.choice(PEOPLE),
        things=rng.choice(THINGS),
        gains=rng.choice(GAINS),
        gained=rng.choice(GAINED),
        loses=rng.choice(LOSES),
        lost=rng.choice(LOST),
    )


def _item(prompt: str, operation: str, a: int, b: int) -> Item:
    return Item(prompt, str(OPERATIONS[operation](a, b)), operation, working(operation, a, b))


def sample(rng: random.Random, *, held_out: bool) -> Item:
    """A question and the number that answers it."""
    operation, a, b = _draw(rng, held_out=held_out)
    phrases = PHRASES[operation]
    if operation == "subtract" and a >= b and rng.random() < 0.25:
        phrases = LARGER_FIRST
    prompt = _spell(rng, rng.choice(phrases), a, b)
    if rng.random() < 0.1:
        prompt = rng.choice(BEFORE) + prompt
    if rng.random() < 0.15:
        prompt = prompt.rstrip(".?! ")
    elif rng.random() < 0.1:
        prompt += rng.choice(AFTER)
    if rng.random() < 0.15:
        prompt = prompt.lower()
    return _item(prompt, operation, a, b)


def unseen(rng: random.Random) -> Item:
    """A held-out pair in a phrasing that training never used."""
    operation, a, b = _draw(rng, held_out=True)
    phrase = rng.choice(UNSEEN_PHRASES[operation])
    return _item(phrase.format(a=a, b=b), operation, a, b)


def foreign(rng: random.Random) -> Item:
    """A question that is no arithmetic, or one with numbers that are too large, and a plain word on that."""
    if rng.random() < 0.4:
        operation = rng.choice(tuple(PHRASES))
        if operation == "multiply" and rng.random() < 0.6:
            a, b = rng.randrange(100, 1000), rng.randrange(10, 1000)
        else:
            # Four to eight digits, against one to seven.
            a, b = rng.randrange(1000, 10 ** rng.randrange(4, 9)), rng.randrange(10 ** rng.randrange(1, 8))
        if rng.random() < 0.5:
            a, b = b, a
        return Item(_spell(rng, rng.choice(PHRASES[operation]), a, b), TOO_LARGE, "too large")
    prompt = rng.choice(REQUESTS).format(s=rng.choice(SUBJECTS)) if rng.random() < 0.5 else rng.choice(CHATTER)
    if rng.random() < 0.2:
        prompt = prompt.lower()
    return Item(prompt, DECLINE, "foreign")
