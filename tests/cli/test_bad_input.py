"""Bad input: one clear message that names the place, exit code 2, no traceback, nothing begun."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Command

GOOD = {"question": "Why?"}


def batch_line(custom_id: str = "a", **body: Any) -> dict[str, Any]:
    message = {"role": "user", "content": "x"}
    return {
        "custom_id": custom_id,
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": "gpt-4.1-mini", "messages": [message], **body},
    }


def refused(light: Command, *arguments: str, **environ: str) -> str:
    """The message of a refusal, with what every refusal promises checked."""
    done = light("run", *arguments, **environ)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert not light.home.exists(), "nothing was started"
    return done.stderr


def test_a_broken_line_57_is_named(light: Command) -> None:
    lines = [json.dumps(GOOD)] * 100
    lines[56] = '{"question": "cut'
    (light.folder / "prompts.jsonl").write_text("\n".join(lines))
    message = refused(light, "prompts.jsonl", "--prompt", "{{question}}", "--rehearse")
    assert "prompts.jsonl:57: not valid JSON" in message
    assert "1 bad line" in message


def test_many_bad_lines_are_counted_and_the_first_ten_shown(light: Command) -> None:
    (light.folder / "p.jsonl").write_text("\n".join([json.dumps(GOOD), *["nonsense"] * 30]))
    message = refused(light, "p.jsonl", "--prompt", "{{question}}", "--rehearse")
    assert "30 bad lines" in message
    assert "… and 20 more" in message


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"question": "a\\u0000b"}', "column 'question': a NUL character"),
        ('{"question": "a\\ud800b"}', "column 'question': a lone surrogate"),
        ('["question"]', "a JSON object is expected, not list"),
        ('{"question": "x", "promptmill": 1}', "the column 'promptmill' is where the answer"),
        ('{"other": "x"}', "no column 'question' for {{question}}; the columns are: other"),
    ],
)
def test_a_bad_line_says_why(light: Command, line: str, says: str) -> None:
    (light.folder / "p.jsonl").write_text(json.dumps(GOOD) + "\n\n" + line + "\n")
    message = refused(light, "p.jsonl", "--prompt", "{{question}}", "--rehearse")
    assert f"p.jsonl:3: {says}" in message


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (batch_line("a"), "custom_id 'a' is taken by line 1"),
        (batch_line("b", logprobs=True), "logprobs: it is not supported with this value"),
        (batch_line("b", model="gpt-9"), "unknown model 'gpt-9'"),
        (batch_line("b", max_tokens=10**9), "gives 1 to 32768 output tokens"),
        ({**batch_line("b"), "url": "/v1/images"}, "url: it must be one of /v1/chat/completions, "),
        (GOOD, "this one has not"),
    ],
)
def test_a_bad_batch_line_says_why(light: Command, line: dict[str, Any], says: str) -> None:
    light.write("b.jsonl", [batch_line(), line])
    message = refused(light, "b.jsonl", "--rehearse")
    assert "b.jsonl:2: " in message
    assert says in message


def test_an_unknown_model_is_refused_once_with_near_names(light: Command) -> None:
    light.write("p.jsonl", [GOOD] * 5)
    message = refused(
        light, "p.jsonl", "--prompt", "{{question}}", "--model", "gpt4.1-mini", "--rehearse"
    )
    assert message.count("unknown model") == 1
    assert "gpt-4.1-mini" in message


def test_a_missing_key_names_the_variable_and_the_way_out(light: Command) -> None:
    light.write("p.jsonl", [GOOD])
    message = refused(light, "p.jsonl", "--prompt", "{{question}}")
    assert "OPENAI_API_KEY or AZURE_OPENAI_KEY is not set" in message
    assert "--rehearse" in message


@pytest.mark.parametrize("prompt", ["\udcff {{question}}", " "])
def test_a_prompt_that_no_request_can_carry_is_refused(light: Command, prompt: str) -> None:
    light.write("p.jsonl", [GOOD])
    assert "--prompt: " in refused(light, "p.jsonl", "--prompt", prompt, "--rehearse")


def test_a_folder_is_no_file(light: Command) -> None:
    assert "is a directory" in refused(light, ".", "--rehearse")


def test_a_dotenv_that_cannot_be_read_is_named(light: Command) -> None:
    light.write("p.jsonl", [GOOD])
    (light.folder / ".env").write_bytes(b"\xff\xfe=1\n")
    message = refused(light, "p.jsonl", "--prompt", "{{question}}", "--rehearse")
    assert ".env in this folder cannot be read: not UTF-8" in message


def test_a_missing_or_empty_file_is_said(light: Command) -> None:
    assert "no such file" in refused(light, "nowhere.jsonl", "--rehearse")
    (light.folder / "empty.jsonl").write_text("\n\n")
    assert "no prompts in it" in refused(light, "empty.jsonl", "--rehearse")


def test_answers_of_another_run_are_not_overwritten(light: Command) -> None:
    light.write("p.jsonl", [GOOD])
    out = light.folder / "p.answers.jsonl"
    out.write_text("precious")
    message = refused(light, "p.jsonl", "--prompt", "{{question}}", "--rehearse")
    assert "--restart" in message
    assert out.read_text() == "precious"


def test_a_broken_catalog_names_the_file_and_the_entry(light: Command) -> None:
    light.write("p.jsonl", [GOOD])
    overlay = light.folder / "mine.toml"
    overlay.write_text("[limits.openai]\nrequests = 'many'\n")
    message = refused(light, "p.jsonl", "--prompt", "{{question}}", PROMPTMILL_CATALOG=str(overlay))
    assert "mine.toml: limits.openai.requests" in message


def test_a_data_directory_of_another_major_is_refused(light: Command) -> None:
    """The message is the launcher's; here it reaches the user of `run`."""
    light.write("p.jsonl", [GOOD])
    data = light.home / "pg17"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("17\n")
    done = light("run", "p.jsonl", "--prompt", "{{question}}", "--rehearse")
    assert done.returncode == 2
    assert "17" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_has_examples(light: Command) -> None:
    done = light("run", "--help")
    assert done.returncode == 0
    assert "--rehearse" in done.stdout
    assert "Examples" in done.stdout


def test_answers_never_replace_their_prompts(light: Command) -> None:
    light.write("p.jsonl", [GOOD])
    arguments = ("--prompt", "{{question}}", "--rehearse", "--restart", "-o", "./p.jsonl")
    assert "would replace the prompts" in refused(light, "p.jsonl", *arguments)
    assert light.read("p.jsonl") == [GOOD]


def test_options_that_a_batch_file_does_not_take_are_refused(light: Command) -> None:
    light.write("b.jsonl", [batch_line()])
    message = refused(light, "b.jsonl", "--prompt", "x", "--max-tokens", "5", "--rehearse")
    assert "--prompt, --max-tokens: b.jsonl is an OpenAI batch file" in message


def test_without_a_prompt_the_columns_are_listed(light: Command) -> None:
    light.write("p.jsonl", [GOOD])
    message = refused(light, "p.jsonl", "--rehearse")
    assert "say --prompt" in message
    assert "the columns are: question" in message


@pytest.mark.parametrize(
    ("variable", "url", "says"),
    [
        ("DATABASE_URL", "postgresql://a:hidden@127.0.0.1:9/x", "no database answers there"),
        ("DATABASE_URL", "somewhere", "not a URL like postgresql://"),
        ("REDIS_URL", "redis://:hidden@127.0.0.1:9/0", "no Valkey or Redis answers there"),
        ("REDIS_URL", "somewhere", "no Valkey or Redis answers there"),
    ],
)
def test_a_server_that_is_not_there_is_named_by_its_variable(
    light: Command, variable: str, url: str, says: str
) -> None:
    light.write("p.jsonl", [GOOD])
    (light.folder / ".env").write_text(f"{variable}={url}\n")
    done = light("run", "p.jsonl", "--prompt", "{{question}}", "--rehearse")
    assert done.returncode == 2
    assert f"{variable}: {says}" in done.stderr
    assert "hidden" not in done.stderr
    assert "Traceback" not in done.stderr


def test_migrate_without_a_database_says_what_to_set(light: Command) -> None:
    done = light("migrate")
    assert (done.returncode, "DATABASE_URL is not set" in done.stderr) == (2, True)


@pytest.mark.parametrize("command", ["status", "down", "key"])
def test_commands_of_a_stack_that_does_not_run(light: Command, command: str) -> None:
    done = light(command)
    assert "Traceback" not in done.stderr
    assert done.stdout or done.stderr


def test_bom_crlf_and_blank_lines_are_taken(tmp_path: Path, light: Command) -> None:
    text = "\ufeff" + json.dumps(GOOD) + "\r\n\r\n" + json.dumps(GOOD) + "\r\n"
    (tmp_path / "p.jsonl").write_bytes(text.encode())
    assert "OPENAI_API_KEY" in refused(light, "p.jsonl", "--prompt", "{{question}}")
