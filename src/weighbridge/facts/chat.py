"""What a chat template can do, found by reading it: the names that its code uses and the words that it writes."""

from __future__ import annotations

import re

from .model_facts import Chat

_OPENING = re.compile(r"\{[{%#]")
_CLOSING = {"{{": "}}", "{%": "%}", "{#": "#}"}
_STRING = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_ARGUMENT = re.compile(r"([(,]\s*)\w+\s*=(?!=)")
_NAME = re.compile(r"(?<![\w.])[A-Za-z_]\w*")
# Variables by which makers let a request turn reasoning on or off, or set its effort; the first that is used counts.
_SWITCHES = ("enable_thinking", "thinking", "enable_reasoning", "reasoning_effort", "thinking_budget", "thinking_mode",
             "reasoning", "reasoning_strength", "think", "keep_reasoning")  # fmt: skip
# How makers mark reasoning in what the model writes.
_MARKS = ("<think>", "</think>", "<|channel|>analysis", "<|think|>", "[THINK]", "<seed:think>", "<|START_THINKING|>",
          "<thought>", "<thinking>", "<|channel>thought", "<ifm|think", "◁think▷")  # fmt: skip
_REFUSES_SYSTEM = re.compile(r"raise_exception\s*\(\s*['\"][^'\"]{0,200}[Ss]ystem[^'\"]{0,200}['\"]")
_MOST_LETTERS = 1 << 20


def read_template(template: str | None) -> Chat:
    """What the Jinja template can do. Comments and the text around its code do not count as code."""
    if template is None:
        return Chat(template=False, tools=None, thinking=None)
    code, text = _split(template[:_MOST_LETTERS])
    strings = [string[1:-1] for piece in code for string in _STRING.findall(piece)]
    plain = [_STRING.sub("''", piece) for piece in code]
    # A name before a single `=` is an argument's, unless `set` makes it.
    names = {name for piece in plain for name in _NAME.findall(_ARGUMENT.sub(r"\1", piece))}
    given = names - _assigned(code)
    switch = next((name for name in _SWITCHES if name in given), None)
    marks = any(mark in text for mark in _MARKS) or "reasoning_content" in text
    refuses = bool(_REFUSES_SYSTEM.search(text)) and "tools" not in names
    # Templates that write each role as it comes take a system message too.
    takes = "system" in strings or bool(re.search(r"message(?:\.role|\[['\"]role['\"]\])\s*(?:\+|\}|-\}|~)", text))
    return Chat(
        template=True,
        tools=bool(names & {"tools", "tool_list", "available_tools", "xml_tools", "functions"}),
        thinking=marks or switch is not None,
        thinking_switch=switch,
        system_role=takes and not refuses,
    )


def _split(template: str) -> tuple[list[str], str]:
    """The pieces of code, and the template without comments; in one pass, whatever the template."""
    code, kept, at = [], [], 0
    while opening := _OPENING.search(template, at):
        end = template.find(_CLOSING[opening[0]], opening.end())
        if end < 0:
            break
        kept.append(template[at : opening.start()])
        if opening[0] != "{#":
            code.append(template[opening.end() : end])
            kept.append(template[opening.start() : end + 2])
        at = end + 2
    return code, "".join([*kept, template[at:]])


def _assigned(code: list[str]) -> set[str]:
    """Names that the template makes itself: no request can set them unless it asks first whether they are given."""
    made = {name for piece in code for name in re.findall(r"\bset\s+(\w+)\s*=", piece)}
    made |= {name for piece in code for name in re.findall(r"\bfor\s+(\w+)", piece)}
    # `set effort = effort | default(...)` takes what was given.
    made -= {name for piece in code for name in re.findall(r"\bset\s+(\w+)\s*=\s*\1\b", piece)}
    asked = {name for piece in code for name in re.findall(r"\b(\w+)\s+is\s+(?:not\s+)?(?:defined|undefined)", piece)}
    return made - asked


def read_go_template(template: str) -> Chat:
    """The same of an Ollama template, which is written in Go's language: `.Tools`, `.System`, `.Think`."""
    used = set(re.findall(r"\.([A-Z]\w*)", " ".join(_split(template[:_MOST_LETTERS])[0])))
    thinks = bool(used & {"Think", "Thinking", "ThinkLevel", "IsThinkSet"})
    return Chat(
        template=True,
        tools=bool(used & {"Tools", "ToolCalls"}),
        thinking=thinks or "<think>" in template,
        thinking_switch="think" if thinks else None,
        system_role="System" in used or "Messages" in used,
    )
