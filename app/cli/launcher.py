"""`python -m app.cli.launcher PARENT_PID COMMAND...`: become COMMAND, bound to the life of the parent.

On Linux the kernel then sends SIGTERM when the parent is gone, whatever killed it. Elsewhere only the orderly stop of
the parent ends its children. A program of its own, since doing this between fork and exec is unsafe beside threads.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    parent_pid, command = int(arguments[0]), arguments[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent_pid:
        sys.exit(1)  # the parent died before the kernel was asked
    os.execvp(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
