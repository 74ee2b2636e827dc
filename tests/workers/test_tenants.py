"""A worker serves every tenant, and does for each only what is that tenant's."""

from app.core.db import session_factory
from app.core.tenancy import of_tenant
from app.core.tenants import TenantScope
from app.jobs.status import JobStatus
from app.learning.methods import Method
from tests.workers.conftest import Installation


def test_a_model_belongs_to_the_tenant_of_its_job(installation: Installation) -> None:
    lab = Installation(installation.settings)
    lab.sessions = of_tenant(session_factory(lab.engine), TenantScope("lab"))
    with installation.worker():
        jobs = [(here, here.submit(model_name="mine", method=Method.LASSO)) for here in (lab, installation)]
        ended = [here.wait_for_end(job_id) for here, job_id in jobs]
    assert [job.status for job in ended] == [JobStatus.SUCCEEDED] * 2, [job.status_reason for job in ended]
    for (here, job_id), tenant in zip(jobs, ("lab", "default"), strict=True):
        (version,) = here.versions("mine")
        assert (version.tenant, version.version, version.job_id) == (tenant, 1, job_id)
        assert {event.tenant for event in here.events(job_id)} == {tenant}
        assert here.artifact(version).manifest.name == "mine"
    assert lab.events(jobs[1][1]) == []
    lab.close()
