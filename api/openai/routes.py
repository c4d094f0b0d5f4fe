"""The routes of OpenAI's API that answer at once, and the models that they answer with."""

from typing import Final

from fastapi import APIRouter

from api.openai import chat, completions, embeddings, models

ROOMS: Final = (chat, completions, embeddings, models)
router = APIRouter()
for room in ROOMS:
    router.include_router(room.router)
