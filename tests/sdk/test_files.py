"""The unmodified OpenAI SDK keeps files, and loses none of what it made when replies are lost."""

import io
from typing import Any

import openai
import pytest

from tests.sdk.batching import jsonl, line, over, read, start, upload
from tests.sdk.conftest import Stack, until
from tests.sdk.library import HTTP


def test_a_file_is_kept_told_of_listed_read_and_deleted(client: openai.OpenAI) -> None:
    content = bytes(range(256)) * 9_000
    expiry: Any = {"anchor": "created_at", "seconds": 3600}
    file = client.files.create(
        file=("bytes ä.bin", io.BytesIO(content)), purpose="user_data", expires_after=expiry
    )
    assert (file.object, file.bytes, file.purpose) == ("file", len(content), "user_data")
    assert (file.filename, file.status) == ("bytes ä.bin", "processed")
    assert file.expires_at is not None
    assert file.expires_at - file.created_at == 3600
    assert client.files.retrieve(file.id) == file
    assert client.files.wait_for_processing(file.id).id == file.id
    assert client.files.content(file.id).read() == content
    more = [upload(client, b"{}") for _ in range(3)]
    assert [each.id for each in client.files.list(purpose="user_data")] == [file.id]
    listed = [each.id for each in client.files.list(limit=2, order="asc")]
    assert listed[-4:] == [file.id, *(each.id for each in more)]
    assert more[0].expires_at - more[0].created_at == 30 * 86_400
    assert client.files.delete(file.id).deleted
    for gone in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError):
            gone(file.id)


def test_an_api_that_is_killed_while_it_registers_makes_each_line_one_job(
    client: openai.OpenAI, stack: Stack
) -> None:
    count = 6_000
    batch = start(client, jsonl(*(line(f"k-{n}", "killed") for n in range(count))))

    def registered() -> int:
        [[number]] = stack.sql("SELECT registered FROM batches WHERE id = %s", batch.id)
        return int(number)

    until("some lines are jobs", registered, within=60)
    stack.kill("api")
    assert registered() < count
    stack.sql("UPDATE batches SET lease_until = now() WHERE id = %s", batch.id)
    stack.start_api()
    until("all lines are jobs", lambda: registered() == count, within=90)
    [[jobs, lines]] = stack.sql(
        "SELECT count(*), count(DISTINCT echo->>'custom_id') FROM jobs"
        " JOIN payloads ON job_id = id WHERE batch = %s", batch.id
    )  # fmt: skip
    assert (jobs, lines) == (count, count)
    client.batches.cancel(batch.id)
    done = over(client, batch.id)
    ended = [done.output_file_id, done.error_file_id]
    told = [each for file_id in ended if file_id for each in read(client, file_id)]
    assert len({each["custom_id"] for each in told}) == len(told) == count


class Deaf:
    """An SDK's ear: the first reply to each POST of a path is lost."""

    def __init__(self, *paths: str) -> None:
        self.to_lose = list(paths)

    def hear(self, response: Any) -> None:
        """For the HTTP client that this SDK stands on, whichever it is."""
        request = response.request
        if request.method == "POST" and request.url.path in self.to_lose:
            self.to_lose.remove(request.url.path)
            response.read()
            raise HTTP.ReadError("the reply is lost", request=request)


def test_creates_whose_replies_are_lost_make_one_file_and_one_batch(stack: Stack) -> None:
    deaf = Deaf("/v1/files", "/v1/batches")
    content = jsonl(line("lost", "lost replies"))
    with stack.sdk(
        http_client=openai.DefaultHttpxClient(event_hooks={"response": [deaf.hear]})
    ) as client:
        known = {each.id for each in client.files.list()}
        batch = start(client, content, metadata={"run": "lost"})
        assert deaf.to_lose == []
        made = [each for each in client.batches.list() if each.metadata == {"run": "lost"}]
        assert [each.id for each in made] == [batch.id]
        files = {each.id for each in client.files.list(purpose="batch")} - known
        assert files == {batch.input_file_id}
        over(client, batch.id)
        again = start(client, content, metadata={"run": "lost"})
        assert again.id != batch.id
        assert again.input_file_id != batch.input_file_id
        over(client, again.id)
    assert len(stack.jobs("lost replies")) == 2
