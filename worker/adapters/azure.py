"""Azure's classic OpenAI addresses: a deployment in the path, a version in the query."""

import openai
from pydantic import SecretStr

from shared.domain.clock import Clock
from worker.adapters.openai import FORMS
from worker.adapters.openai_client import Deaf, FamilyAdapter
from worker.adapters.transport import Connections, http_client, key_for


class DeafAzureClient(Deaf, openai.AsyncAzureOpenAI):
    """The official client that hears nothing of the environment."""


class AzureAdapter(FamilyAdapter):
    """One Azure resource under one key; a request's model is the name of its deployment."""

    def __init__(
        self,
        *,
        base_url: str,
        api_version: str,
        key: SecretStr | None,
        connections: Connections,
        connect_timeout: float,
        clock: Clock,
    ) -> None:
        """Must be made on the event loop that will use it.

        `base_url`: of the resource, such as `https://name.openai.azure.com`. `api_version`: such
        as `2024-10-21`.
        """
        client = DeafAzureClient(
            api_key=key_for(key),
            base_url=f"{base_url.rstrip('/')}/openai",
            api_version=api_version,
            max_retries=0,
            # The client hangs a hook on its connections: no other may share them.
            http_client=http_client(connections),
        )
        super().__init__(client, FORMS, connect_timeout=connect_timeout, clock=clock)
