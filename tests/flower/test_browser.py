"""Flower in a real browser: the list of jobs, the page of one, its button, the workers.

PROMPTMILL_TEST_PICTURES names a folder that gets the pictures of docs/flower.md.
"""

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright, expect

from tests.flower.conftest import PASSWORD, USER, WORKER, Flower

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PICTURES = os.environ.get("PROMPTMILL_TEST_PICTURES")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: make browser")


@pytest.fixture
async def page(flower: Flower, tmp_path: Path) -> AsyncIterator[Page]:
    """A fresh browser that knows the password and has never been anywhere."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch_persistent_context(
            tmp_path / "profile",
            executable_path=CHROMIUM,
            args=FLAGS,
            base_url=flower.url,
            http_credentials={"username": USER, "password": PASSWORD},
            viewport={"width": 1440, "height": 560},
        )
        yield browser.pages[0]
        await browser.close()


async def picture(page: Page, name: str) -> None:
    """Keep what is seen now, when somebody wants pictures."""
    if PICTURES:
        await page.screenshot(path=Path(PICTURES) / f"{name}.png")


async def test_a_person_opens_a_job_stops_it_and_sees_all_of_them(
    flower: Flower, page: Page
) -> None:
    # The first browser page takes its time: the job that it stops has to be there still.
    await flower.mill.script({"match": {"contains": "question 0"}, "do": {"stall": 60}, "times": 1})
    accepted = await flower.mill.submit(3)
    running, *others = accepted
    await flower.shown(running, "STARTED")
    # By the front door: a browser that knows only a page below it keeps its password from /api.
    await page.goto("/")
    await page.goto(f"/task/{running}")
    await expect(page.locator("body")).to_contain_text("generate")
    await page.locator("#task-terminate").click()
    await flower.shown(running, "REVOKED")
    assert (await flower.mill.life.job(running)).state == "cancelled"

    await flower.mill.all_final()
    await flower.shown(others[0], "SUCCESS")
    await page.goto(f"/task/{others[0]}")
    await expect(page.locator("body")).to_contain_text("SUCCESS")
    assert "question" not in await page.locator("body").inner_text()
    await picture(page, "flower-job")

    [newest, *_] = await flower.mill.submit(2)
    await flower.shown(newest, "STARTED")
    await page.goto("/tasks")
    table = page.locator("#tasks-table tbody")
    for state in ("STARTED", "SUCCESS", "REVOKED"):
        await expect(table).to_contain_text(state)
    assert "promptmill.run" not in await table.inner_text()
    await picture(page, "flower-jobs")

    await page.goto("/workers")
    row = page.locator("#workers-table tbody tr", has_text=WORKER)
    await expect(row).to_contain_text("Online")
    await picture(page, "flower-workers")
