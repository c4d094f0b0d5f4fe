"""The Celery application of a worker process: broker settings, tasks, consumer and engine."""

from collections.abc import Sequence

from celery import Celery

from shared.broker.app import make_app
from worker.control import answer_for_jobs
from worker.step import EngineSlot, MakeEngine, engine_step
from worker.tasks import register


def make_worker(redis_url: str, queues: Sequence[str], make: MakeEngine, *, drain: float) -> Celery:
    """Make the application whose worker builds its engine with `make` at the start.

    `queues` are the providers'; `drain` is in seconds. Celery's own -Q and -c decide which
    queues and how many calls the process takes.
    """
    app = make_app(redis_url, queues)
    app.conf.worker_consumer = "worker.consumer:MillConsumer"
    slot = EngineSlot(make, drain=drain)
    register(app, lambda: slot.engine)
    app.steps["worker"].add(engine_step(slot))
    answer_for_jobs(slot)
    return app
