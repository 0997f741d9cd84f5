"""The structure holds: who may import whom, what may be imported where, and how large it all is."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator

from conftest import ROOT

PACKAGE = ROOT / "kindle_appliance"

VOCABULARY = ("sentences", "ending", "errors")
"""The vocabulary: at the root, because everybody speaks it."""

FLOW = (
    "host",
    "storage",
    "upstream",
    "settings",
    "answers",
    "books",
    "export",
    "web",
    "owner",
    "appliance",
    "__main__",
)
"""The order of imports: a folder, or a module at the root, imports what stands before it, and the vocabulary."""

MAY_IMPORT = {
    "sentences": set(),
    "ending": {"sentences"},
    "errors": {"sentences"},
    "host.network": set(),
    "host.mdns": {"host.network", "errors"},
    "host.systemd": set(),
    "host.journal": set(),
    "storage.database": {"errors"},
    "storage.chats": {"storage.database", "ending", "errors"},
    "storage.reports": {"storage.database", "errors"},
    "storage.rate_limit": {"storage.database", "errors"},
    "storage.lock": {"errors"},
    "storage.backup": {"storage.lock", "storage.database", "errors"},
    "upstream.sse": {"errors"},
    "upstream.gemini": {"upstream.sse", "ending", "errors"},
    "upstream.call": {"errors"},
    "upstream.history": {"upstream.gemini"},
    "upstream.quotas": {"storage.database", "errors"},
    "upstream.fallback": {"upstream.gemini", "upstream.call", "upstream.quotas", "ending", "errors"},
    "upstream.catalogue": {"upstream.gemini", "upstream.call", "errors"},
    "upstream.demo": set(),
    "settings": {"host.network", "errors", "sentences"},
    "answers.writing": set(),
    "answers.typesetter": {"answers.writing"},
    "answers.desk": {
        *("upstream.fallback", "upstream.history", "answers.typesetter", "storage.chats", "ending", "errors"),
    },
    "web.health": {"answers.desk", "storage.database", "errors"},
    "web.frames": {"answers.desk", "ending"},
    "web.look": set(),
    "web.templates": set(),
    "web.pages": {
        *("answers.desk", "answers.writing", "storage.chats", "storage.reports", "host.mdns", "host.network"),
        *("web.look", "web.templates", "ending"),
    },
    "web.guard": {"host.network", "errors"},
    "web.app": {
        *("web.guard", "web.frames", "web.health", "web.pages", "answers.desk", "storage.rate_limit"),
        *("web.look", "web.templates"),
        *("storage.chats", "storage.reports", "host.mdns", "ending", "errors"),
    },
    "web.server": {"errors"},
    "owner.models": {
        *("settings", "storage.database", "upstream.demo", "upstream.call", "upstream.fallback", "upstream.gemini"),
        *("upstream.quotas", "web.templates"),
    },
    "owner.installation": {"settings", "errors"},
    "owner.service": {"owner.installation", "host.network", "errors"},
    "owner.credential": set(),
    "owner.doctor": {
        *(
            "storage.database",
            "upstream.catalogue",
            "upstream.call",
            "owner.service",
            "host.network",
            "settings",
            "errors",
        ),
    },
}
TOP = {"owner.commands", "appliance", "__main__"}
SENTENCES_FOR_ALL = {"sentences"}

ONLY_IN = {
    "urllib3": {"upstream.call"},
    "sqlite3": {"storage.database", "storage.chats"},  # chats names the type of a row
    "markdown_it": {"answers.typesetter"},
    "bottle": {"web.app", "web.templates"},
    "waitress": {"web.server"},
    "zeroconf": {"host.mdns"},
    "gettext": {"sentences"},
    "os": {"settings", "owner.credential", "host.systemd", "owner.commands", "__main__"},
}


def modules() -> dict[str, ast.Module]:
    """Every module by its name below the package, such as `storage.chats`; a folder by its own."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def folders() -> set[str]:
    return {path.parent.name for path in PACKAGE.glob("*/__init__.py")}


def imports(name: str, tree: ast.Module) -> Iterator[tuple[str, bool]]:
    """Each module that the module `name` imports, and whether it is one of ours."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.partition(".")[0], False
        elif isinstance(node, ast.ImportFrom) and node.level:
            package = ".".join(name.split(".")[: -node.level])
            base = ".".join(filter(None, (package, node.module)))
            if not node.module or base in folders():
                yield from ((f"{base}.{alias.name}".lstrip("."), True) for alias in node.names)
            else:
                yield base, True
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0], False


def own_imports(name: str, tree: ast.Module) -> set[str]:
    return {module for module, is_ours in imports(name, tree) if is_ours} - {"__version__"}


def test_folders_and_modules_at_the_root_import_only_what_stands_before_them_in_the_flow() -> None:
    trees = modules()
    known = {*VOCABULARY, *FLOW, *folders(), "__init__"}
    assert {name.partition(".")[0] for name in trees} <= known, "a new folder gets its place in the flow"
    for name, tree in trees.items():
        home = name.partition(".")[0]
        for module in own_imports(name, tree):
            other = module.partition(".")[0]
            if home in FLOW and other in FLOW and other != home:
                assert FLOW.index(other) < FLOW.index(home), f"{name} imports {module}: against the flow"
            if home in VOCABULARY:
                assert other in VOCABULARY, (
                    f"{name} imports {module}: everybody speaks the vocabulary, it knows nobody"
                )


def test_no_folder_holds_one_file_or_what_belongs_anywhere() -> None:
    for folder in folders():
        names = {path.stem for path in (PACKAGE / folder).glob("*.py")} - {"__init__"}
        assert len(names) > 1, f"{folder}/ holds one file"
        assert not names & {"utils", "helpers", "common", "manager", "misc"}, folder


def test_each_module_imports_only_its_neighbours_downstream() -> None:
    trees = modules()
    assert set(trees) - {"__init__"} - folders() == set(MAY_IMPORT) | TOP, "a new module gets a row in the table"
    for name, allowed in MAY_IMPORT.items():
        ours = own_imports(name, trees[name])
        assert ours <= allowed | SENTENCES_FOR_ALL, f"{name} imports {ours - allowed}"


def test_the_table_of_imports_has_no_cycle_and_no_dead_row() -> None:
    known: set[str] = set()
    for name, allowed in MAY_IMPORT.items():
        assert allowed <= known, f"{name} may import what stands above it only"
        known.add(name)
    for name, tree in modules().items():
        if name in MAY_IMPORT:
            used = own_imports(name, tree)
            assert MAY_IMPORT[name] <= used, f"{name} does not need {MAY_IMPORT[name] - used}"


def test_each_library_is_used_in_one_place() -> None:
    for name, tree in modules().items():
        for library, _ in imports(name, tree):
            assert name in ONLY_IN.get(library, {name}), f"{name} imports {library}"


def test_no_library_is_imported_that_is_not_declared() -> None:
    declared = {"bottle", "markdown_it", "urllib3", "waitress", "zeroconf"}
    for name, tree in modules().items():
        foreign = {module for module, is_ours in imports(name, tree) if not is_ours} - set(sys.stdlib_module_names)
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
    texts = [path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")]
    lines = [line for text in texts for line in text.splitlines() if line.strip()]
    assert 1000 < len(lines) < 7000


def test_every_module_and_every_public_name_says_what_it_is() -> None:
    for name, tree in modules().items():
        assert ast.get_docstring(tree) or name == "__main__", name
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                one_line = isinstance(node, ast.FunctionDef) and len(node.body) == 1
                assert ast.get_docstring(node) or one_line, f"{name}.{node.name}"
