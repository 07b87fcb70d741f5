"""Writes docs/reference from the code: commands, settings, errors. A test holds the files against it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

from weighbridge import errors
from weighbridge.cli.main import command_names, parser_of
from weighbridge.settings import PREFIX, DigestSettings, ModelSettings, Settings

FOLDER = Path(__file__).parent / "reference"
NOTE = "<!-- Made by docs/generate_reference.py; edit the code instead. -->\n\n"


def commands() -> str:
    """Every command's help."""
    text = (
        NOTE + "# Commands\n\nExit codes: 0 done, 1 yours to mend, 2 our fault. Data goes to stdout, talk to stderr.\n"
    )
    with _columns(100):
        for name in command_names():
            parser, _ = parser_of(name)
            text += f"\n## weigh {name}\n\n```text\n{parser.format_help().strip()}\n```\n"
    return text


@contextlib.contextmanager
def _columns(count: int) -> Iterator[None]:
    """So wide a terminal, until it is left: whoever asked for the pages has one of another width."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(count)
    try:
        yield
    finally:
        del os.environ["COLUMNS"]
        if before is not None:
            os.environ["COLUMNS"] = before


def settings() -> str:
    """Every setting in one row."""
    text = NOTE + (
        "# Settings\n\nRead once, each from the first of these that has it: a flag, the environment, the file "
        "`~/.config/weighbridge/weighbridge.toml` (or `--config FILE`, or `WEIGHBRIDGE_CONFIG`), the default. A name "
        "that does not exist stops the program.\n\n| setting | environment | default | meaning |\n|---|---|---|---|\n"
    )
    for setting in dataclasses.fields(Settings):
        if "help" in setting.metadata:
            name = f"`{setting.name}` | `{PREFIX}{setting.name.upper()}`"
            text += f"| {name} | {_default(setting)} | {setting.metadata['help']} |\n"
    text += (
        "\n## A table for each model\n\nIn the file alone. A flag or the environment counts for every model, whatever "
        'its table says.\n\n```toml\n[models.coder]\nsource = "qwen3-coder-q4_k_m.gguf"\ncontext_tokens = 32768\n'
        'keep_alive_seconds = 900\n\n[models.small]\nsource = "arithmetic"\npinned = true\n```\n\n'
        "| row | default | meaning |\n|---|---|---|\n"
    )
    for row in dataclasses.fields(ModelSettings):
        text += f"| `{row.name}` | {_default(row)} | {row.metadata['help']} |\n"
    text += (
        "\n## What the digest follows\n\nIn the file alone, in the table `[digest]`; see [digest](../digest.md).\n\n"
    )
    text += "| row | default | meaning |\n|---|---|---|\n"
    for row in dataclasses.fields(DigestSettings):
        text += f"| `{row.name}` | {_default(row)} | {row.metadata['help']} |\n"
    return text


def _default(row: dataclasses.Field[object]) -> str:
    if row.default is None:
        return "as for all"
    return f"`{row.default!r}`" if row.default not in ("", (), dataclasses.MISSING) else "empty"


def error_tree() -> str:
    """The tree of errors."""
    return NOTE + f"# Errors\n\n```text\n{(errors.__doc__ or '').strip()}\n```\n"


def pages() -> dict[str, str]:
    """File names and what they hold."""
    return {"commands.md": commands(), "settings.md": settings(), "errors.md": error_tree()}


def main() -> None:
    """Write the pages."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
