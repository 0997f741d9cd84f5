"""The structure of the package: its imports, their order, and the sizes of its files."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator

from conftest import ROOT

PACKAGE = ROOT / "kindle_appliance"

VOCABULARY = ("clock", "sentences", "conversation", "ending", "errors")
"""The vocabulary: at the root, because every module may use it."""

FLOW = (
    "host",
    "storage",
    "upstream",
    "options",
    "settings",
    "text",
    "formulas",
    "markdown",
    "typesetting",
    "answers",
    "epub",
    "books",
    "export",
    "web",
    "owner",
    "appliance",
    "__main__",
)
"""The order of imports: a folder or root module imports only earlier ones, and the vocabulary."""

TABLE = """
clock:
sentences: clock
conversation:
ending:
errors:
host.network:
host.signals:
host.terminal:
host.journal: host.terminal
host.sieve:
host.mdns: errors host.network host.sieve
host.systemd:
host.plain_files:
host.confinement: errors
storage.buckets:
storage.kept_secret: host.plain_files
storage.lock: errors host.confinement host.plain_files
storage.damage: clock
storage.btrees: storage.damage
storage.migrations:
storage.salvage: storage.damage storage.btrees storage.migrations
storage.set_aside: clock storage.damage storage.btrees storage.migrations storage.salvage
storage.trouble: errors
storage.database: clock errors storage.damage storage.migrations storage.salvage storage.set_aside storage.trouble
storage.rows: ending storage.damage storage.database
storage.derived: errors storage.database storage.trouble
storage.terms:
storage.worker: errors
storage.search: errors storage.database storage.derived storage.terms storage.worker
storage.waiting: clock ending errors storage.damage storage.database storage.rows storage.search
storage.chats: clock ending errors storage.database storage.derived storage.rows storage.search storage.terms
    storage.waiting
storage.rate_limit: clock errors storage.buckets storage.database
storage.reports: clock errors storage.damage storage.database
storage.places: storage.damage storage.database
storage.schema: ending storage.migrations storage.places storage.reports storage.rows
storage.folder: errors host.confinement host.plain_files storage.database
storage.privacy: host.plain_files storage.folder storage.kept_secret
storage.transfer: host.terminal storage.migrations storage.database
storage.shelf_layout:
storage.book_files: clock host.plain_files storage.database storage.shelf_layout storage.transfer
storage.backup: errors host.confinement host.plain_files storage.book_files storage.database storage.folder
    storage.lock storage.transfer storage.schema storage.shelf_layout
upstream.destination: errors host.mdns host.network
upstream.call: clock errors upstream.destination
upstream.demo:
upstream.dialect: conversation ending errors
upstream.tokens:
upstream.rung: conversation errors upstream.call upstream.dialect
upstream.history: conversation upstream.rung upstream.tokens
upstream.portal: errors
upstream.attempt: conversation ending errors upstream.portal upstream.rung
upstream.catalogue: clock errors upstream.dialect upstream.portal upstream.rung
upstream.trial: errors upstream.call upstream.portal upstream.rung
upstream.quotas: clock errors storage.database upstream.rung
upstream.waiting:
upstream.delays: errors upstream.attempt upstream.rung upstream.waiting
upstream.passed: ending errors upstream.attempt upstream.quotas upstream.rung
upstream.generation: clock conversation ending errors upstream.attempt upstream.delays upstream.history
    upstream.passed upstream.quotas upstream.rung upstream.waiting
upstream.fallback: conversation upstream.call upstream.generation upstream.quotas upstream.rung
    upstream.waiting
upstream.sse:
upstream.bare_json:
upstream.reader: ending errors upstream.sse upstream.bare_json
upstream.gemini_refusals: clock errors upstream.reader
upstream.openai_refusals: clock errors upstream.gemini_refusals upstream.reader
upstream.thoughts: upstream.reader
upstream.openai: clock conversation ending errors upstream.dialect upstream.openai_refusals upstream.reader
    upstream.sse upstream.thoughts
upstream.gemini: clock conversation ending errors upstream.dialect upstream.gemini_refusals upstream.reader
    upstream.sse
options.secret:
options.kinds: host.network options.secret
options.server_address: host.network
options.entries: host.terminal options.kinds options.server_address
options.dialects: conversation upstream.dialect upstream.gemini upstream.openai options.entries
options.settings_file: errors
options.credentials: errors host.plain_files options.secret options.kinds options.server_address
    options.settings_file
options.contradictions: upstream.dialect options.dialects options.server_address
settings: errors host.network host.terminal upstream.gemini options.kinds options.entries options.dialects
    options.contradictions options.settings_file options.credentials
owner.settings_template: settings
text.verse:
text.writing:
text.emoji:
text.languages: text.writing
text.hyphens: text.languages
markdown.budget: text.emoji
markdown.cells:
markdown.tail:
markdown.definitions: markdown.tail
markdown.emphasis:
markdown.footnotes: markdown.tail
markdown.headings:
markdown.labels:
markdown.links:
markdown.tags:
formulas.symbols:
formulas.atoms:
formulas.chemistry: formulas.symbols
formulas.latex:
formulas.formula: formulas.symbols formulas.atoms formulas.chemistry formulas.latex
markdown.formula_rules: formulas.formula markdown.tail
markdown.marks: markdown.tail
markdown.library: markdown.budget markdown.cells markdown.definitions text.emoji markdown.emphasis
    markdown.footnotes markdown.formula_rules markdown.labels markdown.links markdown.marks markdown.tags
    markdown.tail text.writing
markdown.tables: markdown.library
typesetting.fence:
typesetting.pieces: markdown.library typesetting.fence markdown.tables
typesetting.cuts:
typesetting.resumption: markdown.library typesetting.fence typesetting.pieces markdown.tables
typesetting.script: text.verse text.writing typesetting.pieces
typesetting.typesetter: markdown.budget markdown.headings markdown.labels markdown.formula_rules
    markdown.library markdown.tables markdown.tail typesetting.fence typesetting.pieces typesetting.cuts
    typesetting.resumption typesetting.script
answers.turns:
answers.answer: ending typesetting.resumption typesetting.typesetter answers.turns
answers.going_on: ending storage.chats storage.rows typesetting.resumption
answers.stored: storage.chats answers.answer answers.going_on answers.turns
answers.waiting: clock errors storage.waiting answers.answer
answers.desk: conversation ending errors storage.chats storage.database storage.rows storage.waiting
    upstream.fallback upstream.generation answers.answer answers.going_on answers.stored answers.turns
    answers.waiting
epub.book:
epub.unreadable: errors
epub.plain_text:
epub.passages: epub.book epub.unreadable
epub.encoding:
epub.markup: epub.unreadable
epub.archive: epub.unreadable
epub.xml_file: epub.archive epub.encoding epub.markup
epub.package: epub.archive epub.plain_text epub.unreadable epub.xml_file
epub.contents: epub.archive epub.encoding epub.markup epub.package epub.plain_text epub.xml_file
epub.numbering:
epub.prose: epub.contents epub.passages epub.plain_text
epub.reading: text.languages epub.archive epub.book epub.contents epub.encoding epub.markup
    epub.numbering epub.package epub.passages epub.plain_text epub.prose epub.unreadable
books.shelved_book:
books.place: epub.book
books.typed_words: storage.terms
books.derived_database: errors host.plain_files storage.database storage.migrations storage.trouble
books.words: storage.database books.derived_database books.typed_words
books.schema: storage.migrations
books.files: clock host.plain_files storage.shelf_layout
books.stored_text: errors storage.database epub.book epub.unreadable books.derived_database books.words
    books.schema
books.catalogue: clock errors storage.damage storage.database storage.terms epub.book books.shelved_book
    books.derived_database books.words books.files books.schema books.stored_text
books.room: errors storage.shelf_layout books.catalogue books.files
books.upkeep: errors storage.worker epub.book epub.reading books.catalogue books.files books.room
books.shelf: clock errors storage.database epub.book epub.reading books.shelved_book books.files books.catalogue
    books.room books.upkeep
web.credit: ending
web.answerers:
web.frames: ending answers.answer web.credit
web.guard: errors host.network
web.headers:
web.health: errors storage.database answers.desk
web.json_body: errors
web.forms: web.json_body
web.look:
web.paths: storage.rows
web.cookies: web.look web.paths
web.pin:
web.seats:
web.streams: ending answers.answer typesetting.typesetter web.frames
web.templates:
web.typed: sentences text.emoji text.writing
web.reader: web.look
web.listed: clock storage.rows storage.waiting web.reader web.typed
web.layout: web.reader web.templates
web.file_field: errors storage.shelf_layout
web.chapter_list: epub.book books.place web.typed
web.book_pages: storage.shelf_layout epub.book books.place books.shelved_book web.chapter_list web.file_field
    web.layout web.reader web.templates web.typed
web.pages: clock ending host.network host.mdns storage.chats storage.reports storage.rows storage.waiting
    answers.answer answers.going_on web.answerers web.book_pages web.credit web.layout web.listed web.look
    web.paths web.reader web.templates web.typed
web.replies: ending errors answers.answer web.headers web.templates
web.refusals: errors web.headers web.templates
web.unread:
web.body: errors
web.parser: web.body
web.tasks: web.body web.parser web.refusals
web.threads:
web.server: errors host.network web.body web.parser web.tasks web.threads web.unread
web.visitor: host.network storage.buckets storage.rate_limit web.look web.cookies web.reader
web.upload_turn: errors web.body
web.adding: errors storage.buckets storage.kept_secret storage.shelf_layout books.shelf web.body web.file_field
    web.replies web.upload_turn web.visitor
web.asking: clock errors storage.chats storage.rate_limit storage.rows text.hyphens answers.desk web.forms
    web.paths web.cookies web.book_pages web.listed web.pages web.replies web.visitor
web.books: clock errors host.network storage.buckets storage.chats storage.places books.place books.shelved_book
    books.shelf web.forms web.paths web.cookies web.book_pages web.replies web.visitor
web.chats: clock errors storage.buckets storage.chats storage.rows storage.search storage.terms answers.desk
    web.forms web.paths web.pages web.replies web.visitor
web.check: clock errors storage.buckets storage.reports web.frames web.headers web.json_body web.seats
    web.pages web.replies web.visitor
web.reading: clock ending errors storage.chats storage.rate_limit storage.rows storage.waiting text.hyphens
    text.languages answers.answer answers.desk typesetting.typesetter web.frames web.headers web.forms web.paths
    web.cookies web.seats web.streams web.templates web.pages web.replies web.visitor
web.waiting: ending errors storage.buckets storage.chats storage.rows web.cookies web.paths web.replies
    web.visitor
web.scripts: conversation ending errors storage.chats storage.rate_limit answers.answer answers.desk
    web.frames web.headers web.json_body web.seats web.streams web.replies web.visitor
web.sign_in: clock web.paths web.cookies web.pin web.pages web.replies web.visitor
web.house: host.mdns web.health web.look web.paths web.cookies web.pages web.replies web.visitor web.sign_in
web.app: errors host.mdns storage.buckets storage.chats storage.places storage.rate_limit storage.reports
    text.hyphens answers.desk books.shelf web.guard web.headers web.health web.forms web.look web.paths
    web.cookies web.pin web.seats web.book_pages web.pages web.replies web.visitor web.adding web.asking
    web.books web.chats web.check web.reading web.waiting web.scripts web.sign_in web.house
owner.installation: errors options.credentials settings
owner.belongings: errors host.terminal host.plain_files storage.transfer options.kinds options.credentials
    settings owner.installation
owner.models: errors storage.database upstream.call upstream.catalogue upstream.demo upstream.dialect
    upstream.rung upstream.quotas upstream.fallback upstream.gemini options.server_address options.entries
    options.dialects settings web.templates
owner.answerers: upstream.gemini options.server_address options.entries settings web.answerers owner.models
owner.service: errors host.network owner.installation
owner.candidates:
owner.remote_shelf: clock storage.kept_secret owner.service
owner.books: errors host.confinement host.plain_files host.terminal storage.kept_secret storage.shelf_layout
    owner.candidates owner.remote_shelf owner.service
owner.pace: conversation errors upstream.fallback upstream.quotas upstream.rung upstream.waiting owner.models
owner.model_list: errors host.terminal storage.database storage.folder upstream.catalogue upstream.quotas
    upstream.rung upstream.waiting options.entries settings owner.models owner.pace
owner.discovery: errors upstream.catalogue options.server_address options.entries settings owner.models
owner.insertion: options.entries
owner.secrets: errors upstream.catalogue options.secret options.kinds options.server_address options.entries
    options.settings_file options.credentials settings owner.installation owner.models owner.service
owner.addition: errors host.plain_files host.terminal upstream.catalogue upstream.waiting options.kinds
    options.server_address options.entries settings owner.installation owner.models owner.service owner.pace
    owner.model_list owner.discovery owner.insertion owner.secrets
owner.doctor: clock errors host.confinement host.network host.terminal storage.book_files storage.damage
    storage.database storage.folder storage.schema upstream.rung upstream.catalogue upstream.trial
    options.server_address settings owner.models owner.service
owner.changeover: errors host.network options.credentials settings owner.doctor owner.installation
    owner.service
"""
"""Each module with its imports, apart from `sentences`. It may import only modules above its own row."""

MAY_IMPORT = {
    name: set(imported.split())
    for name, imported in re.findall(r"^([\w.]+):(.*(?:\n    .*)*)", TABLE, re.MULTILINE)
}
TOP = {"owner.commands", "appliance", "__main__"}
SENTENCES_FOR_ALL = {"sentences"}

ONLY_IN = {
    "urllib3": {"upstream.call"},
    "sqlite3": {
        "storage.database",
        "storage.migrations",
        "storage.salvage",
        "storage.set_aside",
        "storage.trouble",
        "storage.transfer",  # reads strangers' files
    },
    "markdown_it": {name for name in MAY_IMPORT if name.startswith(("markdown.", "typesetting."))},
    "pylatexenc": {"formulas.latex"},
    "pyphen": {"text.hyphens"},
    "defusedxml": {"epub.xml_file"},
    "zipfile": {"epub.archive"},
    "bottle": {name for name in MAY_IMPORT if name.startswith("web.")} - {"web.server"},
    "waitress": {"web.parser", "web.server", "web.tasks"},
    "multipart": {"web.file_field"},
    "zeroconf": {"host.mdns"},
    "gettext": {"sentences"},
    "os": {
        "options.secret",
        "settings",
        "host.systemd",
        "host.terminal",
        "host.confinement",
        "host.plain_files",
        "storage.lock",
        "storage.set_aside",
        "web.health",
        "owner.doctor",
        "__main__",
    },
}


def modules() -> dict[str, ast.Module]:
    """Every module by its name in the package, such as `storage.chats`; a folder by its own name."""
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


def test_folders_and_root_modules_import_only_along_the_flow() -> None:
    trees = modules()
    known = {*VOCABULARY, *FLOW, *folders(), "__init__"}
    assert {name.partition(".")[0] for name in trees} <= known, "a new folder needs its place in FLOW"
    for name, tree in trees.items():
        home = name.partition(".")[0]
        for module in own_imports(name, tree):
            other = module.partition(".")[0]
            if home in FLOW and other in FLOW and other != home:
                assert FLOW.index(other) < FLOW.index(home), f"{name} imports {module}: against the flow"
            if home in VOCABULARY:
                assert other in VOCABULARY, f"{name} imports {module}: the vocabulary imports only itself"


def test_no_folder_holds_a_single_file_or_a_grab_bag() -> None:
    for folder in folders():
        names = {path.stem for path in (PACKAGE / folder).glob("*.py")} - {"__init__"}
        assert len(names) > 1, f"{folder}/ holds one file"
        assert not names & {"utils", "helpers", "common", "manager", "misc"}, folder


def test_each_module_imports_only_what_its_row_allows() -> None:
    trees = modules()
    assert set(trees) - {"__init__"} - folders() == set(MAY_IMPORT) | TOP, "a new module needs a row in TABLE"
    for name, allowed in MAY_IMPORT.items():
        ours = own_imports(name, trees[name])
        assert ours <= allowed | SENTENCES_FOR_ALL, f"{name} imports {ours - allowed}"


def test_the_table_of_imports_has_no_cycle_and_no_unused_entry() -> None:
    known: set[str] = set()
    for name, allowed in MAY_IMPORT.items():
        assert allowed <= known, f"{name} may import only modules above it"
        known.add(name)
    for name, tree in modules().items():
        if name in MAY_IMPORT:
            used = own_imports(name, tree)
            assert MAY_IMPORT[name] <= used, f"{name} does not need {MAY_IMPORT[name] - used}"


def test_only_the_appliance_the_owners_side_and_the_door_read_settings() -> None:
    for name, tree in modules().items():
        if "settings" in own_imports(name, tree):
            is_above = name in ("appliance", "settings_template", "__main__") or name.startswith("owner.")
            assert is_above, f"{name} reads settings"


def test_a_dialect_is_chosen_where_settings_become_rungs_and_nowhere_else() -> None:
    for name, tree in modules().items():
        if {"upstream.gemini", "upstream.openai"} & own_imports(name, tree):
            known = ("settings", "options.dialects", "owner.models", "owner.answerers")
            assert name in known, f"{name} chooses a dialect"


def test_no_sentence_names_a_provider_outside_its_dialect() -> None:
    for name, tree in modules().items():
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        for call in calls if not name.startswith("upstream.gemini") else ():
            if getattr(call.func, "id", "") == "Sentence":
                words = " ".join(str(each.value) for each in call.args if isinstance(each, ast.Constant))
                assert "Gemini" not in words and "Google" not in words, f"{name}: {words}"
    for template in (ROOT / "static").glob("*.html"):
        assert not re.search("Gemini|Google", template.read_text(encoding="utf-8")), template.name


def test_each_file_is_short_or_says_why_it_is_not() -> None:
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 450 or "450 lines" in text[:3000], path.name


def test_each_library_is_used_in_one_place() -> None:
    for name, tree in modules().items():
        for library, _ in imports(name, tree):
            assert name in ONLY_IN.get(library, {name}), f"{name} imports {library}"


def test_no_library_is_imported_that_is_not_declared() -> None:
    declared = {"bottle", "defusedxml", "markdown_it", "multipart"} | {
        *("pylatexenc", "pyphen", "urllib3", "waitress", "zeroconf")
    }
    for name, tree in modules().items():
        foreign = {module for module, is_ours in imports(name, tree) if not is_ours} - set(sys.stdlib_module_names)
        assert foreign <= declared, f"{name} imports {foreign - declared}"


def test_the_environment_is_read_by_the_command_line_only() -> None:
    for name, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "environb"):
                is_wsgi = getattr(node.value, "id", "") == "request"
                assert name == "__main__" or is_wsgi, f"{name} reads the environment in line {node.lineno}"


def test_the_clock_on_the_wall_is_read_in_one_place() -> None:
    readings = {"time.time", "datetime.now", "datetime.today", "datetime.utcnow", "date.today"}
    for name, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                is_reading = f"{node.value.id}.{node.attr}" in readings
                assert not is_reading or name == "clock", f"{name} reads the clock in line {node.lineno}"


def test_modules_hold_only_definitions() -> None:
    quiet = ("ast.Import", "ast.ImportFrom", "ast.FunctionDef", "ast.ClassDef", "ast.Assign", "ast.AnnAssign")
    for name, tree in modules().items():
        for node in tree.body:
            is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            is_check = isinstance(node, ast.If) and name in ("__main__", "__init__")
            assert is_text or is_check or f"ast.{type(node).__name__}" in quiet, f"{name}, line {node.lineno}"


def test_the_package_stays_small_enough_to_read_in_an_evening() -> None:
    texts = [path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")]
    lines = [line for text in texts for line in text.splitlines() if line.strip()]
    assert 1000 < len(lines) < 25100


def test_every_module_and_every_public_name_has_a_docstring() -> None:
    for name, tree in modules().items():
        assert ast.get_docstring(tree) or name == "__main__", name
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                one_line = isinstance(node, ast.FunctionDef) and len(node.body) == 1
                assert ast.get_docstring(node) or one_line, f"{name}.{node.name}"
