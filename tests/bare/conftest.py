"""What tests beside a bare API server share: each module has a `server` of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from kubernetes.aio import client as kubernetes
from kubernetes.aio import config as kubeconfig
from tests import apiserver as bare

from edgedetector.cluster.client import Client


@pytest.fixture
async def client(server: bare.Server) -> AsyncIterator[Client]:
    configuration = kubernetes.Configuration()
    await kubeconfig.load_kube_config(config_file=str(server.kubeconfig), client_configuration=configuration)
    async with kubernetes.ApiClient(configuration) as api:
        yield Client(api)
