from tests.workers.conftest import broker_server, broker_url, installation

__all__ = ["broker_server", "broker_url", "installation"]
