"""The structure holds: who may import whom, what may be imported where, and how large it all is."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator

from conftest import ROOT

PACKAGE = ROOT / "kindle_appliance"

MAY_IMPORT = {
    # What everybody speaks of.
    "sentences": set(),
    "ending": {"sentences"},
    "errors": {"sentences"},
    "writing_system": set(),
    # From Gemini's bytes to text.
    "sse": {"errors"},
    "gemini": {"sse", "ending", "errors"},
    "upstream": {"errors"},
    "history": {"gemini"},
    "database": {"errors"},
    "models": {"database", "errors"},
    "ladder": {"gemini", "upstream", "models", "ending", "errors"},
    # From text to stored answers that readers follow.
    "typesetter": {"writing_system"},
    "chats": {"database", "ending", "errors"},
    "reports": {"database", "errors"},
    "allowance": {"database", "errors"},
    "answers": {"ladder", "history", "typesetter", "chats", "ending", "errors"},
    "health": {"answers", "database", "errors"},
    # The network of the house.
    "network": set(),
    "mdns": {"network", "errors"},
    # From answers to pages.
    "frames": {"answers", "ending"},
    "pages": {"answers", "chats", "ending", "mdns", "network", "reports", "writing_system"},
    "guard": {"errors"},
    "web": {
        *("guard", "answers", "allowance", "chats", "frames", "health", "mdns", "pages", "reports"),
        *("ending", "errors"),
    },
    "server": {"errors"},
    "systemd": set(),
    "demo": set(),
    # What puts it together.
    "settings": {"guard", "errors", "sentences"},
    # What the owner does beside it.
    "journal": set(),
    "claim": {"errors"},
    "installation": {"settings", "errors"},
    "service": {"installation", "network", "errors"},
    "credential": set(),
    "offer": {"gemini", "upstream", "errors"},
    "backup": {"claim", "database", "errors"},
    "doctor": {"database", "offer", "service", "settings", "upstream", "errors"},
}
TOP = {"appliance", "commands", "__main__"}
SENTENCES_FOR_ALL = {"sentences"}

ONLY_IN = {
    "urllib3": {"upstream"},
    "sqlite3": {"database", "chats"},  # chats names the type of a row
    "markdown_it": {"typesetter"},
    "bottle": {"web"},
    "waitress": {"server"},
    "zeroconf": {"mdns"},
    "gettext": {"sentences"},
    "os": {"settings", "credential", "systemd", "commands", "__main__"},
}


def modules() -> dict[str, ast.Module]:
    return {path.stem: ast.parse(path.read_text(encoding="utf-8")) for path in PACKAGE.glob("*.py")}


def imports(tree: ast.Module) -> Iterator[tuple[str, bool]]:
    """The first name of each imported module, and whether it is one of ours."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.partition(".")[0], False
        elif isinstance(node, ast.ImportFrom):
            if node.level and node.module:
                yield node.module, True
            elif node.level:
                for alias in node.names:
                    yield alias.name, True
            elif node.module:
                yield node.module.partition(".")[0], False


def test_each_module_imports_only_its_neighbours_downstream() -> None:
    trees = modules()
    assert set(trees) - {"__init__"} == set(MAY_IMPORT) | TOP, "a new module gets a row in the table"
    for name, allowed in MAY_IMPORT.items():
        ours = {module for module, is_ours in imports(trees[name]) if is_ours}
        assert ours <= allowed | SENTENCES_FOR_ALL, f"{name} imports {ours - allowed}"


def test_the_table_of_imports_has_no_cycle_and_no_dead_row() -> None:
    known: set[str] = set()
    for name, allowed in MAY_IMPORT.items():
        assert allowed <= known | {"errors", "ending", "sentences", "writing_system"}, (
            f"{name} may import what stands above it only"
        )
        known.add(name)
    for name, tree in modules().items():
        if name in MAY_IMPORT:
            used = {module for module, is_ours in imports(tree) if is_ours}
            assert MAY_IMPORT[name] <= used, f"{name} does not need {MAY_IMPORT[name] - used}"


def test_each_library_is_used_in_one_place() -> None:
    for name, tree in modules().items():
        for library, _ in imports(tree):
            assert name in ONLY_IN.get(library, {name}), f"{name} imports {library}"


def test_no_library_is_imported_that_is_not_declared() -> None:
    declared = {"bottle", "markdown_it", "urllib3", "waitress", "zeroconf"}
    for name, tree in modules().items():
        foreign = {module for module, is_ours in imports(tree) if not is_ours} - set(sys.stdlib_module_names)
        assert foreign <= declared, f"{name} imports {foreign - declared}"


def test_the_environment_is_read_by_the_command_line_only() -> None:
    for name, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "environb"):
                is_wsgi = getattr(node.value, "id", "") == "request"
                assert name == "__main__" or is_wsgi, f"{name} reads the environment in line {node.lineno}"


def test_nothing_runs_at_import_but_definitions() -> None:
    quiet = ("ast.Import", "ast.ImportFrom", "ast.FunctionDef", "ast.ClassDef", "ast.Assign", "ast.AnnAssign")
    for name, tree in modules().items():
        for node in tree.body:
            is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            is_check = isinstance(node, ast.If) and name in ("__main__", "__init__")
            assert is_text or is_check or f"ast.{type(node).__name__}" in quiet, f"{name}, line {node.lineno}"


def test_the_package_stays_small_enough_to_read_in_an_evening() -> None:
    texts = [path.read_text(encoding="utf-8") for path in PACKAGE.glob("*.py")]
    lines = [line for text in texts for line in text.splitlines() if line.strip()]
    assert 1000 < len(lines) < 6500


def test_every_module_and_every_public_name_says_what_it_is() -> None:
    for name, tree in modules().items():
        assert ast.get_docstring(tree) or name == "__main__", name
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                one_line = isinstance(node, ast.FunctionDef) and len(node.body) == 1
                assert ast.get_docstring(node) or one_line, f"{name}.{node.name}"
