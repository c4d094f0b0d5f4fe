"""More requests than connections to the database: who gets none is told so, and may come again."""

from dataclasses import replace

import httpx2
import pytest

from api.main import create_app
from shared.db.engine import Database
from shared.settings import read_settings
from tests.api.conftest import job_body, make_key
from tests.life import Life


@pytest.mark.filterwarnings("ignore:ORJSONResponse")
async def test_who_gets_no_connection_is_told_that_it_is_crowded_and_makes_nothing(
    life: Life, database_url: str, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    key = await make_key(database_url, "one")
    narrow = Database(database_url, pool_size=1, patience=0.05)
    app = create_app(read_settings())
    async with app.router.lifespan_context(app):
        app.state.parts = replace(app.state.parts, accepting=narrow)
        async with httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=app, raise_app_exceptions=False),
            base_url="http://mill",
            headers={"authorization": f"Bearer {key}"},
        ) as http:
            async with narrow.transaction():
                refused = await http.post("/api/v1/jobs", json=job_body())
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
            assert "more requests come than this server can take" in refused.text
            assert (await life.one("SELECT count(*) AS n FROM jobs")).n == 0
            assert (await http.post("/api/v1/jobs", json=job_body())).status_code == 202
    await narrow.close()
