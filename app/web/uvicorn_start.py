"""`python -m app.web.uvicorn_start ...` is `uvicorn ...`, ready sooner.

Hundreds of thousands of objects are made while libraries are imported, none of them garbage: a sixth of the start went
into looking for some. The application's lifespan switches the garbage collector on again.
"""

import gc
import sys

import uvicorn


def main() -> None:
    if "--workers" not in sys.argv:  # the parent of several has no lifespan
        gc.disable()
    uvicorn.main()


if __name__ == "__main__":
    main()
