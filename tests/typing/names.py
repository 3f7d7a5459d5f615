"""Ask mypy for every public name of `optax`: it must see each one that is there at run time."""

import sys

from mypy import api

import optax

names = [name for name in dir(optax) if not name.startswith("_")]
code = "\n".join(["import optax", *(f"optax.{name}" for name in names)])
out, err, status = api.run(["-c", code])
print(out + err, end="")
sys.exit(status)
