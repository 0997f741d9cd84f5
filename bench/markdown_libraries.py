"""Compares two Markdown libraries for the typesetter: mistune 3 and markdown-it-py.

The typesetter needs CommonMark as models write it, tables, no HTML injection by an answer, a low cost on a
Raspberry Pi, no input that stalls it, and the source lines of each block (blocks settle at these lines). This
script measures those properties for each of the two libraries that can be imported; it installs nothing:

* conformance: the specification's examples, with raw HTML on, as conformance is defined;
* safety: with raw HTML off, inputs whose output has a forbidden tag, attribute or link scheme ("leaks");
* tables: our own cases, compared with GitHub's output ([cell¦cell], «» a code span, + text outside);
* CPU time and memory: a new process for each text, killed after 20 s; hostile texts in two sizes;
* line numbers and packaging, from the installed metadata and, if given, the wheels.

`--spec` is the specification's JSON (in the tests of markdown-it-py's source distribution), `--streams` a
directory with recorded answers in `expected.json`, `--payloads` a file of hostile lines, `--wheels` a
directory of wheels.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import re
import resource
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterable
from html import unescape
from pathlib import Path

Render = Callable[[str], str]
LIMIT = 20  # seconds for one text; a reader would have given up long before
SUPERLINEAR = 2.8  # ratio of times for a text of double size: 2 is linear, 4 quadratic
MODULES = {"mistune": "mistune", "markdown-it-py": "markdown_it"}
BLOCKS = "p|h[1-6]|ul|ol|li|blockquote|pre|hr|table|thead|tbody|tr|th|td|div|br"
NAMES = "href|src|title|alt|class|start|style"
OWN_TAG = re.compile(rf'</?(?:{BLOCKS}|a|em|strong|del|s|img|code)(?: (?:{NAMES})="[^"<>]*")*(?: ?/)?>')
PROSE = "A sentence of *plain* prose, `code`, **weight** and [a link](https://example.org/), as models do. "


def renderer(library: str, html: bool, extras: bool = True) -> Render:
    """Return the library's renderer with the typesetter's settings; `extras` adds tables and strikethrough."""
    if library == "mistune":
        import mistune

        table = "mistune.plugins.table.table"
        plugins = ["strikethrough", table, f"{table}_in_list", f"{table}_in_quote"] if extras else []
        html_renderer = mistune.HTMLRenderer(escape=not html, allow_harmful_protocols=html)
        markdown = mistune.create_markdown(escape=not html, renderer=html_renderer, plugins=plugins)
        return lambda text: str(markdown(text))
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": html}).enable(["table", "strikethrough"] if extras else [])
    return lambda text: str(parser.render(text))


def canonical(html: str, lenient: int) -> str:
    """Remove white space beside block tags; if `lenient`, also the newline at the end of code."""
    out = re.sub(rf"\s*(</?(?:{BLOCKS})\b[^>]*>)\s*", r"\1", html).replace("&quot;", '"').strip()
    return out.replace("\n</code>", "</code>") if lenient else out


def shape(html: str) -> str:
    """Summarize HTML: tables as `[a¦b][1¦2]`, text outside them as `+text`, without spaces."""
    out = html.replace("<code>", "«").replace("</code>", "»")
    out = re.sub(r'<t[hd](?: style="text-align: ?(\w)\w+")?>', lambda cell: f"¦{cell[1] or ''}:", out)
    out = re.sub(r"<tr>\s*¦", "[", out.replace("¦:", "¦")).replace("</tr>", "]").replace("[:", "[")
    return re.sub(r"\s", "", unescape(re.sub("<[^>]*>", "", re.sub("<(p|h1)>", "+", out))))


def leak(html: str) -> str:
    """Name the first forbidden thing in the output; empty if there is none."""
    if "<" in OWN_TAG.sub("", html):
        return "tag or attribute"
    for url in re.findall(r' (?:href|src)="([^"]*)"', html):
        bare = re.sub(r"[\t\r\n]", "", unescape(url)).lstrip("".join(map(chr, range(33)))).lower()
        if match := re.match("(javascript|vbscript|data):", bare):
            return match[0]
    return ""


FORMS = "{0}§<{0}>§[x]({0})§[x](<{0}>)§![{0}](/u '{0}')§~~~{0}\nx\n§`{0}`§[x]\n\n[x]: {0}\n§|a|\n|-|\n|{0}|\n"
HEAD = "| a | b |\n|---|---|\n"
TABLES = {  # name: (Markdown, its shape on GitHub)
    "header only": (HEAD, "[a¦b]"),
    "alignment": ("|a|b|c|d|\n|:--|:-:|--:|---|\n|1|2|3|4|\n", "[l:a¦c:b¦r:c¦d][l:1¦c:2¦r:3¦4]"),
    "escaped pipe": (HEAD + "| x \\| y | z |\n", "[a¦b][x|y¦z]"),
    "code with escaped pipe": (HEAD + "| `x\\|y` | z |\n", "[a¦b][«x|y»¦z]"),
    "code with bare pipe": (HEAD + "| `x|y` | z |\n", "[a¦b][`x¦y`]"),
    "ragged rows": (HEAD + "| 1 |\n| 1 | 2 | 3 |\n", "[a¦b][1¦][1¦2]"),
    "row without pipes": (HEAD + "| 1 | 2 |\nword\n", "[a¦b][1¦2][word¦]"),
    "no outer pipes": ("a | b\n--- | ---\n1 | 2\n", "[a¦b][1¦2]"),
    "blank line inside": (HEAD + "| 1 | 2 |\n\n| 3 | 4 |\n", "[a¦b][1¦2]+|3|4|"),
    "right after a text line": ("text\n" + HEAD + "| 1 | 2 |\n", "+text[a¦b][1¦2]"),
    "ended by a heading": (HEAD + "| 1 | 2 |\n# h\n", "[a¦b][1¦2]+h"),
    "in a list item": ("- x\n\n  | a | b |\n  |---|---|\n  | 1 | 2 |\n", "+x[a¦b][1¦2]"),
}


def repeat(unit: str) -> Callable[[int], str]:
    return lambda size: (unit * (size // len(unit) + 1))[:size]


ORDINARY: dict[str, Callable[[int], str]] = {
    "prose": repeat(PROSE * 6 + "\n\n"),
    "one huge list item": lambda size: "- item\n\n" + repeat("  " + PROSE * 6 + "\n\n")(size),
    "huge table": lambda size: HEAD + "| some *text* | `code` here |\n" * (size // 30),
    "open fence": lambda size: "```python\n" + repeat("    value = call(argument)  # a comment\n")(size),
}
SPANS = ("[", "![", "*[", "[a](", "*a_ ", "a**b", "<", "<!--", "&", "|")
BLOCKQUOTES = ("> a\nb\n", "> # a\nb\n", ">```\nb\n", "> a\n- b\n")
HOSTILE: dict[str, Callable[[int], str]] = {
    **{repr(unit): repeat(unit) for unit in SPANS + BLOCKQUOTES},
    "[..](u)..": lambda size: "[" * (size // 5) + "a" + "](u)" * (size // 5),
    "*a *a ..b* b*": lambda size: "*a " * (size // 6) + "b* " * (size // 6),
    "***..](..][*..": lambda size: "***" * (size // 9) + "](" * (size // 6) + "][[r]*" * (size // 18),
    "a` a`` a``` ..": lambda size: "".join("a" + "`" * i for i in range(int((2 * size) ** 0.5))),
    "# a   ..   b": lambda size: "# a" + " " * size + "b",
    "> > > ..": lambda size: "> " * (size // 2) + "a",
    "- - - ..": lambda size: "- " * (size // 2) + "a",
    "ever deeper list": lambda size: "".join("  " * i + "- a\n" for i in range(int(size**0.5))),
    "link definitions": lambda size: "".join(f"[a{i}]: /u\n" for i in range(size // 12)) + "\n[a1] " * 99,
    "open title": lambda size: "[a]: /u '" + "b\n" * (size // 2),
    "wide table": lambda size: "\n".join(cell * (size // 6) + "|" for cell in ("|a", "|-", "|b")),
    "wide, short rows": lambda size: "|a" * (size // 8) + "|\n" + "|-" * (size // 8) + "|\n|b|" * (size // 8),
    "table that fails": lambda size: repeat("a|b\n-|-\n")(size) + "x|y|z\n",
}


def resident() -> float:
    """Return the resident memory of this process in megabytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def probe(library: str) -> None:
    """Render standard input and print the seconds and megabytes as JSON; runs in a new process."""
    text = sys.stdin.read()
    before, start = resident(), time.process_time()
    render = renderer(library, html=False)
    result = {"import": time.process_time() - start, "import MB": resident() - before, "in": len(text)}
    before, result["seconds"] = resident(), float(LIMIT)
    for _ in range(5):
        start = time.process_time()
        result["out"] = len(render(text))
        result["seconds"] = min(result["seconds"], time.process_time() - start)
        if result["seconds"] > 0.5:
            break
    result["render MB"] = resident() - before
    result["peak MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(result))


def measure(library: str, text: str) -> tuple[dict[str, float], str]:
    """Run `probe` and return its results, and the failure (empty, a Python error, or the time limit)."""
    try:
        command = [sys.executable, __file__, "--probe", library]
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return {}, f">{LIMIT}s"
    if done.returncode:
        return {}, done.stderr.strip().rpartition("\n")[2].partition(":")[0] or f"exit {done.returncode}"
    return json.loads(done.stdout), ""


def row(name: str, cells: Iterable[str]) -> None:
    print(f"  {name:26}" + "".join(f" {cell:<38}" for cell in cells).rstrip())


def report_conformance(libraries: list[str], spec: list[dict[str, str]], payloads: list[str]) -> None:
    print(f"\nCommonMark: examples passed of {len(spec)}, raw HTML on; and leaks, raw HTML off")
    hostile = [example["markdown"] for example in spec]
    hostile += [form.format(line) for line in payloads for form in FORMS.split("§")]
    columns = []
    for library in libraries:
        render, off = renderer(library, html=True, extras=False), renderer(library, html=False)
        pairs = [(render(example["markdown"]), example["html"]) for example in spec]
        same = [
            sum(canonical(got, lenient) == canonical(want, lenient) for got, want in pairs) for lenient in (0, 1)
        ]
        leaks = [found for text in hostile if (found := leak(off(text)))]
        columns.append([str(same[0]), str(same[1]), " ".join([str(len(leaks)), *sorted(set(leaks))])])
    names = ("passed", "but for code's last newline", f"leaks of {len(hostile)}")
    for name, *cells in zip(names, *columns, strict=True):
        row(name, cells)


def report_times(libraries: list[str], answer: str) -> None:
    print("\nfresh process: import s, MB beyond what this script loads; render s, MB (peak of the process)")
    cells = "{import:.3f} {import MB:.1f}; {seconds:.4f} {render MB:.1f} ({peak MB:.0f})"
    for name, text in {"answer": answer, **{name: make(2**18) for name, make in ORDINARY.items()}}.items():
        runs = [measure(library, text) for library in libraries]
        row(f"{name}, {len(text) / 1024:.0f} KB", [error or cells.format(**run) for run, error in runs])
    print("\nhostile texts of 32 and 64 KB: render s (output size, where over 8 times the input)")
    for name, make in HOSTILE.items():
        texts = make(2**15), make(2**16)
        row(name, [doubled([measure(library, text) for text in texts]) for library in libraries])


def doubled(runs: list[tuple[dict[str, float], str]]) -> str:
    """Format both times, and whether they grow faster than the text; below 0.3 s a ratio would be noise."""
    times = [error or f"{run['seconds']:.2f}" for run, error in runs]
    times += [f"({run['out'] / run['in']:.0f}x out)" for run, _ in runs if run and run["out"] > 8 * run["in"]]
    seconds = [run["seconds"] for run, error in runs if not error]
    grows = len(seconds) == 2 and seconds[1] > 0.3 and seconds[1] > SUPERLINEAR * seconds[0]
    return " ".join([*times, f"SUPERLINEAR x{seconds[1] / seconds[0]:.1f}"] if grows else times)


def line_map(library: str) -> str:
    """Return the source lines of the top-level blocks of a small text, or the keys of tokens without lines."""
    text = "para\n\n- a\n- b\n\n```\ncode\n```\n\n# head\n"
    if library == "mistune":
        import mistune

        blocks = mistune.create_markdown(renderer=None)(text)
        return "none; keys: " + " ".join(sorted({str(key) for block in blocks for key in block}))
    from markdown_it import MarkdownIt

    return " ".join(str(token.map) for token in MarkdownIt().parse(text) if token.map and token.level == 0)


def packaging(distribution: str, wheels: Path | None) -> str:
    """Describe an installed distribution: version, dependencies, size, purity; its wheel's size and newest file."""
    meta = importlib.metadata.distribution(distribution)
    size = sum(file.size or 0 for file in meta.files or [])  # without the compiled files
    needs = ", ".join(need for need in meta.requires or [] if "extra ==" not in need) or "nothing"
    purity = (re.findall("Root-Is-Purelib: (.*)", meta.read_text("WHEEL") or "") or ["?"])[0]
    facts = f"{distribution} {meta.version}, pure Python: {purity}, needs {needs}, {size / 1024:.0f} KB"
    for wheel in wheels.glob(f"{distribution.replace('-', '_')}-{meta.version}-*.whl") if wheels else ():
        newest = max(info.date_time for info in zipfile.ZipFile(wheel).infolist())
        facts += ", wheel {:.0f} KB of {}-{:02}-{:02}".format(wheel.stat().st_size / 1024, *newest[:3])
    return facts


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--probe", help=argparse.SUPPRESS)
    for option in ("spec", "streams", "payloads", "wheels"):
        parser.add_argument(f"--{option}", type=Path)
    options = parser.parse_args()
    if options.probe:
        probe(options.probe)
        return
    libraries = [name for name, module in MODULES.items() if importlib.util.find_spec(module)]
    print(f"Python {sys.version.split()[0]} on {os.uname().machine}")
    row("", libraries)
    for distribution in [*libraries, *(["mdurl"] if "markdown-it-py" in libraries else [])]:
        print("  " + packaging(distribution, options.wheels))
    row("lines of top-level blocks", [line_map(library) for library in libraries])
    payloads = options.payloads.read_text(errors="replace").split("\n") if options.payloads else []
    if options.spec:
        report_conformance(libraries, json.loads(options.spec.read_text()), payloads)
    print("\ntables: ok if as on GitHub, otherwise the output")
    for name, (text, wanted) in TABLES.items():
        shapes = [shape(renderer(library, html=False)(text)) for library in libraries]
        row(name, ["ok" if got == wanted else got for got in shapes])
    answer = repeat("## Heading\n\n" + PROSE * 3 + "\n\n- item\n- item\n\n```\ncode\n```\n\n")(2**13)
    if options.streams:
        recorded = json.loads((options.streams / "expected.json").read_text()).values()
        answer = max((stream["computed"]["text"] for stream in recorded), key=len)
    report_times(libraries, answer)


if __name__ == "__main__":
    main()
