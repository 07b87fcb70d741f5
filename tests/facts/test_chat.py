"""What a chat template can do is found by reading it."""

from __future__ import annotations

import json

import pytest

from weighbridge import facts

LOOP = "{% for message in messages %}{{ message.role + ': ' + message.content }}{% endfor %}"
# Templates in the manner of the makers, and what each can do: tools, thinking, its switch, a system role.
TEMPLATES = {
    "each role as it comes": (LOOP, False, False, None, True),
    "tools": ("{%- if tools %}{{ tools | tojson }}{%- endif %}" + LOOP, True, False, None, True),
    "a switch": (
        LOOP + "{%- if enable_thinking is defined and enable_thinking is false %}"
        "{{ '<think>\\n\\n</think>' }}{%- endif %}",
        False, True, "enable_thinking", True,
    ),
    "an effort": (
        "{%- if reasoning_effort is not defined %}{%- set reasoning_effort = 'medium' %}{%- endif %}"
        "{{ '<|start|>system<|message|>Reasoning: ' + reasoning_effort }}" + LOOP,
        False, True, "reasoning_effort", True,
    ),
    "always thinking": (LOOP + "{{ '<think>\\n' }}", False, True, None, True),
    "no system role": (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
        "{% for message in messages %}{{ message['content'] }}{% endfor %}",
        False, False, None, False,
    ),
    "only words about tools": ("{# tools are not supported #}You have no tools." + LOOP, False, False, None, True),
    "its own variable": ("{% set thinking = '' %}{{ thinking }}" + LOOP, False, False, None, True),
    "roles by name": (
        "{% if messages[0].role == 'system' %}{{ messages[0].content }}{% endif %}"
        "{% for message in messages %}{{ message.content }}{% endfor %}",
        False, False, None, True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_tells_what_it_can_do(tmp_path, name):
    template, *expected = TEMPLATES[name]
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    (tmp_path / "chat_template.jinja").write_text(template)
    chat = facts.read(tmp_path).chat

    assert [chat.tools, chat.thinking, chat.thinking_switch, chat.system_role] == expected


def test_the_template_is_found_where_makers_put_it(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    assert not facts.read(tmp_path).chat.template
    listed = [{"name": "rag", "template": "x"}, {"name": "default", "template": "{{ tools }}"}]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": listed}))

    assert facts.read(tmp_path).chat.tools
    assert facts.read(tmp_path).origins["chat"].file.endswith("tokenizer_config.json")


def test_the_template_of_a_gguf_file_is_read(tiny_gguf):
    chat = facts.read(tiny_gguf(metadata={"tokenizer.chat_template": TEMPLATES["a switch"][0]})).chat

    assert (chat.thinking, chat.thinking_switch, chat.tools) == (True, "enable_thinking", False)
