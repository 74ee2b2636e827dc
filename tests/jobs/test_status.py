from app.jobs.status import TERMINAL, TRANSITIONS, JobStatus, sources_of


def test_every_state_is_in_the_table_and_every_end_can_be_reached() -> None:
    assert set(TRANSITIONS) == set(JobStatus)
    reached, todo = set[JobStatus](), [JobStatus.VALIDATING]
    while todo:
        status = todo.pop()
        if status not in reached:
            reached.add(status)
            todo.extend(TRANSITIONS[status])
    assert reached == set(JobStatus)


def test_ends_are_final() -> None:
    assert set(TERMINAL) == {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.EXPIRED}
    assert all(not TRANSITIONS[status] for status in TERMINAL)


def test_success_comes_only_from_what_a_worker_holds() -> None:
    assert sources_of(JobStatus.SUCCEEDED) == (JobStatus.RUNNING, JobStatus.PAUSING)
    assert JobStatus.CANCELLING not in sources_of(JobStatus.FAILED)
