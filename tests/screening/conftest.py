from tests.bulk.conftest import broker_server, service
from tests.tiny_models import tiny_models

__all__ = ["broker_server", "service", "tiny_models"]
