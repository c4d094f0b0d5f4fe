"""Anthropic's API over HTTP."""

from fastapi import APIRouter

from api.anthropic import batches, messages

router = APIRouter()
for room in (messages, batches):
    router.include_router(room.router)
