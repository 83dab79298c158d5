"""The order of rooms: who may import whom; docs/architecture.md has the picture."""

import ast
import configparser
import pathlib
import sys

import pytest

import srn_tf

PACKAGE = pathlib.Path(srn_tf.__file__).parent
# A room may import those of rows above its own.
ORDER = (
    ("__init__", "options", "atomic", "progress"),
    ("networks", "images", "deconvolution"),
    ("data", "checkpoints", "evaluation", "export"),
    ("restoration",),
    ("training", "service", "ray"),
    ("cli",),
)
ROWS = {room: row for row, rooms in enumerate(ORDER) for room in rooms}
# Of rooms in one row, these alone know another.
BESIDE = {("options", "__init__"), ("atomic", "__init__"), ("export", "checkpoints")}
MODULES = {path.relative_to(PACKAGE).with_suffix("").parts: path for path in PACKAGE.rglob("*.py")}


def imports(path: pathlib.Path, lazy: bool = True) -> set[tuple[str, ...]]:
    """What a module imports, as ("srn_tf", "images", "rgb"); `lazy` ones inside functions, too."""
    tree = ast.parse(path.read_text())
    found = set()
    for node in ast.walk(tree) if lazy else tree.body:
        if isinstance(node, ast.Import):
            found |= {tuple(alias.name.split(".")) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {(*node.module.split("."), alias.name) for alias in node.names}
    return found


@pytest.mark.parametrize("module", MODULES, ids="/".join)
def test_no_import_runs_up(module):
    found = imports(MODULES[module])
    if module[-1] == "__init__":
        found = imports(MODULES[module], lazy=False)
        assert all(name[0] in sys.stdlib_module_names for name in found)
        return
    room, ours = module[0], [name[1:] for name in found if name[0] == "srn_tf"]
    ours = [name if name[0] in ROWS else ("__init__",) for name in ours]
    for other in {name[0] for name in ours} - {room}:
        assert ROWS[other] < ROWS[room] or (room, other) in BESIDE, f"{room} imports {other}"
    if module[-1] in ("config", "configs", "options"):
        outside = {name[0] for name in found if name[0] not in ("srn_tf", *sys.stdlib_module_names)}
        inside = {name for name in ours if not {"config", "configs", "options"} & {*name}}
        assert not outside and not inside - {("__init__",)}
    if (room == "data" and module[-1] != "pipeline") or module == ("training", "loop"):
        assert not {name[0] for name in found} & {"tensorflow", "jax"}


def test_the_wheel_brings_every_room():
    setup = configparser.ConfigParser()
    setup.read(PACKAGE.parent / "setup.cfg")
    packages = {*setup["options"]["packages"].split()} - {"srn_tf", "srn_tf.weights"}
    assert packages == {f"srn_tf.{path.parent.name}" for path in PACKAGE.glob("*/__init__.py")}
