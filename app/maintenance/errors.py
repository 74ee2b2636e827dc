"""Why a backup, a restoration or a move is refused, as sentences for the administrator."""

from app.core.errors import Conflict, XtalforgeError


class MaintenanceError(XtalforgeError):
    code, status, title = "maintenance_failed", 500, "The installation could not be saved or restored"


class BackupUnreadable(MaintenanceError):
    code, title = "backup_unreadable", "The backup cannot be used"


class NotEmpty(Conflict):
    code, title = "not_empty", "The installation is not empty"


class InUse(Conflict):
    code, title = "in_use", "The installation is in use"
