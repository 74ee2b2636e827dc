"""Texts that do to the process which reads them what a fault of a parser might. Picklable; imports next to nothing."""

import os
import re
import sys
import time

from app.core.errors import UnparsableStructure


class Crash(str):
    """Ends the process."""

    __slots__ = ()

    def lstrip(self, _characters: str | None = None, /) -> str:
        os._exit(7)


class Hang(str):
    """Never comes back, inside C code that lets no other thread run."""

    __slots__ = ()

    def lstrip(self, _characters: str | None = None, /) -> str:
        re.fullmatch("(a|a)*b", "a" * 60)
        return ""


class Sleep(str):
    """Takes two seconds."""

    __slots__ = ()

    def lstrip(self, _characters: str | None = None, /) -> str:
        time.sleep(2)
        raise UnparsableStructure("slept")


class Fault(str):
    """Meets a fault of the program."""

    __slots__ = ()

    def lstrip(self, _characters: str | None = None, /) -> str:
        raise ZeroDivisionError


class Greedy(str):
    """Takes more memory than there may be."""

    __slots__ = ()

    def lstrip(self, _characters: str | None = None, /) -> str:
        return "x" * (1 << 33)


class Report(str):
    """Tells the process id and which heavy libraries are loaded."""

    __slots__ = ()

    def lstrip(self, _characters: str | None = None, /) -> str:
        heavy = [name for name in ("torch", "fastapi", "sqlalchemy", "celery") if name in sys.modules]
        raise UnparsableStructure(f"{os.getpid()} {','.join(heavy)}")
