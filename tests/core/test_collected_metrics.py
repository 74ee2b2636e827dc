"""What a process sees is handed to the one that counts: by each thread for itself, each once."""

from concurrent.futures import ThreadPoolExecutor

from app.core.metrics import Collected, Observed


def test_it_is_taken_once() -> None:
    collected = Collected()
    collected.stage("read", 0.1)
    collected.predictions("a", 1, "value", 3)
    assert collected.take() == Observed([("read", 0.1)], [("a", 1, "value", 3)])
    assert collected.take() is None


def test_a_thread_takes_nothing_of_another_one() -> None:
    """Else what belongs to an answer could travel with a later one."""
    collected = Collected()
    collected.stage("read", 0.1)
    with ThreadPoolExecutor(1) as other:
        assert other.submit(collected.take).result() is None
        other.submit(collected.stage, "forward", 0.2).result()
        assert collected.take() == Observed([("read", 0.1)], [])
        assert other.submit(collected.take).result() == Observed([("forward", 0.2)], [])
