"""Whether something could not be written for want of room."""

import errno

from sqlalchemy.exc import DBAPIError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the operating system says when a file finds no room: on the disk, in the quota, under the limit of a file."""

_LIBRARIES_SAY = tuple(f"(os error {number})" for number in NO_ROOM)
"""How libraries written in Rust, which raise errors of their own, end what they say."""

_SQLITE_SAYS, _POSTGRES_DISK_FULL = "database or disk is full", "53100"


def is_disk_full(error: BaseException) -> bool:
    """For errors of Python, of the artifact store and of both databases."""
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return True
    if isinstance(error, DBAPIError):
        code = getattr(error.orig, "sqlstate", None)
        return code == _POSTGRES_DISK_FULL or _SQLITE_SAYS in str(error.orig)
    return any(sign in str(error) for sign in _LIBRARIES_SAY)
