"""The error tree. Framework-free: `app.web.problems` is the one place that turns it into HTTP.

XtalforgeError
  InvalidInput (422)            what was sent cannot be used
    StructureError              a structure text or object
      UnparsableStructure, DisorderedStructure, StructureTooLarge, MissingCell, NoAtoms, CoincidentAtoms,
      UnphysicalStructure, UnsupportedElement, IsolatedAtom
    InvalidName
    InvalidComposition
    InputKindMismatch           a composition for a structure model
    InvalidRequest, InvalidArchive, TooManyInputs, NoUsableInput
    DatasetInvalid
    InvalidJob
    ModelNotCalibrated          a model that does not know its errors, where they are needed
    WebhookRefused              a webhook that leads inside
  NotFound (404)                ModelNotFound, ModelVersionNotFound, AliasNotFound, PropertyNotFound,
                                DatasetNotFound, JobNotFound, ResultsDeleted, WebhookNotFound, DeliveryNotFound,
                                TutorialNotFound
  Conflict (409)                JobNotCancellable, JobNotPausable, JobNotResumable, JobNotRetryable, JobNotFinished,
                                DatasetInUse, ModelVersionInUse, ModelMismatch, NothingToRollBack,
                                IdempotencyConflict, DeliveryEnded, WebhookDisabled
  Unauthorized (401)            KeyMissing, KeyInvalid, KeyExpired
  Forbidden (403)               ScopeMissing, SharedReadOnly, QuotaExceeded, CrossOrigin, HostNotTrusted
  PreconditionFailed (412)
  PayloadTooLarge (413)
  QueueFull, RateLimited (429)
  BrokerUnavailable, NotReady (503)
  ArtifactCorrupt (500)
"""

from typing import Any, ClassVar


class XtalforgeError(Exception):
    """Base of all errors a user may see: a stable `code`, an HTTP `status`, a sentence for a chemist."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"

    def __init__(self, detail: str, **context: Any) -> None:
        """`detail` is shown to the user; `context` becomes extra members of the problem document."""
        super().__init__(detail)
        self.detail = detail
        self.context = context


class InvalidInput(XtalforgeError):
    code, status, title = "invalid_input", 422, "The input cannot be used"


class StructureError(InvalidInput):
    code, title = "invalid_structure", "The structure cannot be used"


class UnparsableStructure(StructureError):
    code, title = "unparsable_structure", "The structure cannot be read"


class DisorderedStructure(StructureError):
    code, title = "disordered_structure", "The structure is disordered"


class StructureTooLarge(StructureError):
    code, title = "structure_too_large", "The structure is too large"


class MissingCell(StructureError):
    code, title = "missing_cell", "The structure has no unit cell"


class NoAtoms(StructureError):
    code, title = "no_atoms", "The structure has no atoms"


class CoincidentAtoms(StructureError):
    code, title = "coincident_atoms", "Two atoms share one place"


class UnphysicalStructure(StructureError):
    code, title = "unphysical_structure", "The structure is not physical"


class UnsupportedElement(StructureError):
    code, title = "unsupported_element", "An element is not supported"


class IsolatedAtom(StructureError):
    code, title = "isolated_atom", "An atom has no neighbour"


class InvalidName(InvalidInput):
    code, title = "invalid_name", "The name cannot be used"


class InvalidComposition(InvalidInput):
    code, title = "invalid_composition", "The composition cannot be read"


class InputKindMismatch(InvalidInput):
    code, title = "input_kind_mismatch", "The model needs another kind of input"


class InvalidRequest(InvalidInput):
    code, title = "invalid_request", "The request is malformed"


class InvalidArchive(InvalidInput):
    code, title = "invalid_archive", "The archive cannot be opened"


class TooManyInputs(InvalidInput):
    code, title = "too_many_inputs", "The request has too many inputs"


class NoUsableInput(InvalidInput):
    code, title = "no_usable_input", "No input could be used"


class DatasetInvalid(InvalidInput):
    code, title = "dataset_invalid", "The data set cannot be used"


class InvalidJob(InvalidInput):
    code, title = "invalid_job", "The job cannot be run"


class ModelNotCalibrated(InvalidInput):
    code, title = "model_not_calibrated", "The model does not know its errors"


class WebhookRefused(InvalidInput):
    code, title = "webhook_refused", "The webhook leads where nothing may be sent"


class NotFound(XtalforgeError):
    code, status, title = "not_found", 404, "Not found"


class ModelNotFound(NotFound):
    code, title = "model_not_found", "No such model"


class ModelVersionNotFound(NotFound):
    code, title = "model_version_not_found", "No such model version"


class AliasNotFound(NotFound):
    code, title = "alias_not_found", "No such alias"


class PropertyNotFound(NotFound):
    code, title = "property_not_found", "No such property"


class DatasetNotFound(NotFound):
    code, title = "dataset_not_found", "No such data set"


class JobNotFound(NotFound):
    code, title = "job_not_found", "No such job"


class ResultsDeleted(NotFound):
    code, title = "results_deleted", "The results were deleted"


class WebhookNotFound(NotFound):
    code, title = "webhook_not_found", "No such webhook"


class DeliveryNotFound(NotFound):
    code, title = "delivery_not_found", "No such message"


class TutorialNotFound(NotFound):
    code, title = "tutorial_not_found", "No such tutorial"


class Conflict(XtalforgeError):
    code, status, title = "conflict", 409, "Conflict with the present state"


class JobNotCancellable(Conflict):
    code, title = "job_not_cancellable", "The job has already ended"


class JobNotPausable(Conflict):
    code, title = "job_not_pausable", "The job is not at work and does not wait"


class JobNotResumable(Conflict):
    code, title = "job_not_resumable", "The job is not paused"


class JobNotRetryable(Conflict):
    code, title = "job_not_retryable", "The job did not fail"


class JobNotFinished(Conflict):
    code, title = "job_not_finished", "The job has not ended"


class DatasetInUse(Conflict):
    code, title = "dataset_in_use", "The data set is in use"


class ModelVersionInUse(Conflict):
    code, title = "model_version_in_use", "The model version is in use"


class ModelMismatch(Conflict):
    code, title = "model_mismatch", "The name belongs to another kind of model"


class NothingToRollBack(Conflict):
    code, title = "nothing_to_roll_back", "The alias has no earlier version"


class IdempotencyConflict(Conflict):
    code, title = "idempotency_conflict", "The idempotency key was used for another request"


class Unauthorized(XtalforgeError):
    code, status, title = "unauthorized", 401, "A key is needed"


class KeyMissing(Unauthorized):
    code, title = "key_missing", "An API key is needed"


class KeyInvalid(Unauthorized):
    code, title = "key_invalid", "The API key is not valid"


class KeyExpired(Unauthorized):
    code, title = "key_expired", "The API key has expired"


class Forbidden(XtalforgeError):
    code, status, title = "forbidden", 403, "Not allowed"


class ScopeMissing(Forbidden):
    code, title = "scope_missing", "The API key does not allow this"


class SharedReadOnly(Forbidden):
    code, title = "shared_read_only", "Shared models cannot be changed"


class QuotaExceeded(Forbidden):
    code, title = "quota_exceeded", "A quota is used up"


class CrossOrigin(Forbidden):
    code, title = "cross_origin", "Another site may not do this"


class HostNotTrusted(Forbidden):
    code, title = "host_not_trusted", "The service does not go by this name"


class DeliveryEnded(Conflict):
    code, title = "delivery_ended", "The message was delivered"


class WebhookDisabled(Conflict):
    code, title = "webhook_disabled", "The webhook is disabled"


class PreconditionFailed(XtalforgeError):
    code, status, title = "precondition_failed", 412, "The object was changed meanwhile"


class PayloadTooLarge(XtalforgeError):
    code, status, title = "payload_too_large", 413, "The request is too large"


class QueueFull(XtalforgeError):
    code, status, title = "queue_full", 429, "The service is busy"


class RateLimited(XtalforgeError):
    code, status, title = "rate_limited", 429, "Too many requests"


class BrokerUnavailable(XtalforgeError):
    code, status, title = "broker_unavailable", 503, "The job queue is unreachable"


class NotReady(XtalforgeError):
    code, status, title = "not_ready", 503, "The service is not ready"


class StorageFull(XtalforgeError):
    code, status, title = "storage_full", 507, "The service has no room left"


class ArtifactCorrupt(XtalforgeError):
    code, status, title = "artifact_corrupt", 500, "A stored artifact is damaged"
