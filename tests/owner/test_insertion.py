"""A new entry goes into settings files as owners write them, and nothing else in them changes."""

from __future__ import annotations

import tomllib
from difflib import ndiff

import pytest
from hypothesis import given, reject
from hypothesis import strategies as some

from kindle_appliance.options.entries import MODELS, Entry, make
from kindle_appliance.owner.insertion import CannotInsert, insert
from kindle_appliance.owner.settings_template import template
from kindle_appliance.settings import OPTIONS

NEW = Entry("qwen3:8b", "http://pc.local:11434/v1", context=8192)
LINE = '"qwen3:8b at http://pc.local:11434/v1 context=8192"'
TABLE = '[[models]]\nmodel = "qwen3:8b"\nat = "http://pc.local:11434/v1"\ncontext = 8192\n'

FORMS = {
    "on one line": (
        'models = ["a", "b"]  # mine\n',
        f'models = [{LINE}, "a", "b"]  # mine\n',
        f'models = ["a", "b", {LINE}]  # mine\n',
    ),
    "on one line, with a last comma": (
        "'models'=[ 'a', ]\n",
        f"'models'=[ {LINE}, 'a', ]\n",
        f"'models'=[ 'a', {LINE} ]\n",
    ),
    "on lines of their own": (
        'models = [\n  # the best\n  "a", # large\n  "b" # small ]\n  # "c",\n]\n',
        f'models = [\n  {LINE},\n  # the best\n  "a", # large\n  "b" # small ]\n  # "c",\n]\n',
        f'models = [\n  # the best\n  "a", # large\n  "b", # small ]\n  {LINE},\n  # "c",\n]\n',
    ),
    "the bracket on the last line": (
        'models = [\n\t"a",\n\t{ model = "b]", at = \'pc\' }]\n',
        f'models = [\n\t{LINE},\n\t"a",\n\t{{ model = "b]", at = \'pc\' }}]\n',
        f'models = [\n\t"a",\n\t{{ model = "b]", at = \'pc\' }}, {LINE}]\n',
    ),
    "the first on the line of the bracket": (
        'models = ["a", # one\n          "b"]\n',
        f'models = [{LINE}, "a", # one\n          "b"]\n',
        f'models = ["a", # one\n          "b", {LINE}]\n',
    ),
    "tables": (
        '# the cellar\n[[models]]\nmodel = "a"\n\n[[models]]\nmodel = "b"\n# end\n',
        f'{TABLE}\n# the cellar\n[[models]]\nmodel = "a"\n\n[[models]]\nmodel = "b"\n# end\n',
        f'# the cellar\n[[models]]\nmodel = "a"\n\n[[models]]\nmodel = "b"\n# end\n\n{TABLE}',
    ),
    "explained": (
        '# models = ["a"]\n',
        f'# models = ["a"]\nmodels = [{LINE}]\n',
        f'# models = ["a"]\nmodels = [{LINE}]\n',
    ),
    "absent": ("", f"models = [{LINE}]\n", f"models = [{LINE}]\n"),
}  # fmt: skip
"""The list of models in a file; the same with the new entry as the first, and as the last one."""

OTHERS = (
    "",
    "\n",
    "# models, for example: [1, 2\n",
    'system_instruction = """\n# models = ["no"]\nmodels = [\n"""\n',
    "starters = ['''\n[[models]]''', \"]\"]\n",
    'language = "en"  # models = ["no"]\n',
)
"""What else stands in a file, before the models."""


@pytest.mark.parametrize(("before", "as_first", "as_last"), FORMS.values(), ids=FORMS)
@given(
    others=some.lists(some.sampled_from(OTHERS), max_size=3, unique=True),
    is_windows=some.booleans(),
    ends=some.booleans(),
    mark=some.sampled_from(["", "\ufeff"]),
)
def test_an_entry_is_put_in_where_it_belongs_and_all_else_stays(
    before: str, as_first: str, as_last: str, others: list[str], is_windows: bool, ends: bool, mark: str
) -> None:
    def whole(models: str, ends: bool = True) -> str:
        text = "".join([*others, "\n", models])
        text = text if ends or not before else text.removesuffix("\n")
        return mark + (text.replace("\n", "\r\n") if is_windows else text)

    def plain(text: str) -> str:  # without any line end a file does not tell which one its owner uses
        return text if is_windows and "\r\n" in whole(before, ends) else text.replace("\r\n", "\n")

    for wanted, first in ((as_first, True), (as_last, False)):
        found = insert(whole(before, ends), NEW, first=first)
        assert found.rstrip("\r\n") == plain(whole(wanted)).rstrip("\r\n")


def test_where_the_file_sets_none_the_list_of_before_is_written_too() -> None:
    gemini = [Entry("gemini-a"), Entry("gemini-b")]
    assert insert("", NEW, gemini) == f'models = [\n    "gemini-a",\n    "gemini-b",\n    {LINE},\n]\n'
    assert tomllib.loads(insert("", NEW, gemini, first=True))["models"][0].startswith("qwen3:8b")


@pytest.mark.parametrize("first", [True, False])
def test_in_an_installed_file_it_stands_below_the_line_that_explains_it(first: bool) -> None:
    before = template({"name": "books"})
    lines = [line for line in ndiff(before.splitlines(), insert(before, NEW, first=first).splitlines())]
    assert [line for line in lines if line[0] != " "] == [f"+ models = [{LINE}]"]
    (option,) = (each for each in OPTIONS if each.name == "models")
    assert lines[lines.index(f"+ models = [{LINE}]") - 1] == f"  # {option.line}"


@given(
    name=some.text(some.characters(exclude_categories=["C", "Z"], exclude_characters=","), min_size=1, max_size=30),
    words=some.sampled_from(["", " at ", " context=5", " # ", '"', "\\"]),
)
def test_any_name_of_a_model_can_be_read_back(name: str, words: str) -> None:
    try:
        entry = make({"model": f"{name}{words}{name}", "at": "http://pc/v1"})
    except ValueError:
        reject()
    for before in ('models = ["a"]', '[[models]]\nmodel = "a"'):
        assert MODELS.read(tomllib.loads(insert(before, entry))["models"])[-1] == entry


@pytest.mark.parametrize("odd", ["models = []\n", '"mod\\u0065ls" = ["a"]\n', 'models = "a"\n', "models = [\n"])
def test_a_list_that_cannot_be_told_apart_is_left_to_its_owner(odd: str) -> None:
    with pytest.raises(CannotInsert):
        insert(odd, NEW)
