"""Flower's entry, `celery -A worker.flower flower`: it sees the broker and nothing else.

FLOWER_PORT, FLOWER_ADDRESS and Flower's other variables win over what is set here.
"""

from functools import partial
from typing import Final

import flower.options
from celery import Celery

from shared.broker.app import make_app
from shared.catalog.load import load_catalog
from shared.configuration import or_exit
from shared.settings import FlowerSettings, filled, overlay_of_catalog

MOST_TASKS: Final = 10_000
"""Kept in memory, the oldest forgotten first."""
OPTIONS: Final = {
    "address": "127.0.0.1",
    "max_tasks": MOST_TASKS,
    "purge_offline_workers": 600,  # seconds
    # Our workers always tell; Celery's own events would only speak of carriers.
    "enable_events": False,
    "tasks_columns": "name,uuid,state,args,result,received,runtime,worker",
}


def _make() -> Celery:
    settings = or_exit("flower", partial(filled, FlowerSettings))
    for name, value in OPTIONS.items():
        setattr(flower.options.options, name, value)
    flower.options.options.basic_auth = [settings.basic_auth.get_secret_value()]
    catalog = load_catalog(overlay_of_catalog())
    app = make_app(settings.redis_url.get_secret_value(), catalog.queues())
    # Flower knows how to count the messages of the stock transport only; the wire is the same.
    app.conf.broker_transport = None
    return app


app = _make()
