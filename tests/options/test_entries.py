"""The entries of the list of models: what an owner writes is understood, or refused where it stands."""

from __future__ import annotations

import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from fakes.secret_scanner import SCANNER
from fakes.secrets import KEY, SERVER_KEY
from hypothesis import given
from hypothesis import strategies as st

from kindle_appliance.errors import SettingsError
from kindle_appliance.options.entries import EXAMPLES, MODELS, OPTIONS, Entry, EntryError, make, parse
from kindle_appliance.settings import Settings, load

AT_HOME = Entry("qwen3:8b", "http://pc.local:11434/v1", context=8192)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "settings.toml"


def stored(config: Path, text: str) -> Settings:
    config.write_text(text, encoding="utf-8")
    return load({}, {}, config)


# What is understood

WAYS = {
    "on one line": '["qwen3:8b at pc.local:11434 context=8192"]',
    "with spaces": '["  qwen3:8b  at  pc.local:11434   context = 8192 "]',
    "in one text": "'qwen3:8b at pc.local:11434 context=8192'",
    "as a table in the list": '[{ model = "qwen3:8b", at = "http://pc.local:11434/", context = 8192 }]',
    "over several lines": """[  # mine, at home
    # [no item]
    {model = 'qwen3:8b', at = '''pc.local:11434''', "context" = 8_192},
]""",
    "with a number as a text": '[{model = "qwen3:8b", at = "pc.local:11434", context = "8192"}]',
}


@pytest.mark.parametrize("text", WAYS.values(), ids=WAYS)
def test_a_model_at_an_address_can_be_written_in_several_ways(config: Path, text: str) -> None:
    assert stored(config, f"models = {text}").models == (AT_HOME,)


def test_a_table_of_its_own_for_each_model_is_a_list_too(config: Path) -> None:
    text = 'text_size = 40\n[[models]]\nmodel = "qwen3:8b"\nat = "pc.local:11434"\ncontext = 8192\n\n'
    assert stored(config, f'{text}[[ "models" ]]  # Google\'s\nmodel = "gemini-1"').models == (
        AT_HOME,
        Entry("gemini-1"),
    )


def test_the_environment_takes_the_list_on_one_line() -> None:
    line = "qwen3:8b at pc.local:11434 context=8192, gemini-1 thinking_budget=0,"
    assert load({}, {"KINDLE_APPLIANCE_MODELS": line}).models == (AT_HOME, Entry("gemini-1", thinking_budget=0))


def test_plain_http_to_a_server_outside_needs_the_owners_word() -> None:
    with pytest.raises(
        EntryError, match=r"^203.0.113.9:8080 is outside the house, .* and the key. .* plain_http = true$"
    ):
        parse("a at http://203.0.113.9:8080")
    with pytest.raises(EntryError, match="outside the house"):
        parse("a at http://openrouter.ai plain_http=no")
    assert parse("a at http://203.0.113.9:8080 plain_http=true").plain_http
    assert parse("a at openrouter.ai/api").at == "https://openrouter.ai/api/v1"


NAMES = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=30) | st.sampled_from(
    [
        "hf.co/unsloth/Qwen3-8B-GGUF:Q4_K_M",
        "C:\\models\\a b.gguf",
        "at",
        "data",
        "x=1",
        "context=5",
        "a at b",
        " a ",
    ]
)
ADDRESSES = st.sampled_from(
    ["pc", "pc.local:11434", "https://openrouter.ai/api", "[fd00::1]:8080", "10.0.0.2", "http://localhost:1/x/v4"]
)
VALUES = {
    "context": st.integers(256, 10_000_000),
    "max_output_tokens": st.integers(1, 1_000_000),
    "temperature": st.floats(0, 2) | st.integers(0, 2),
    "thinking_level": st.sampled_from(["none", "minimal", "low", "medium", "high", "xhigh"]),
    "thinking_budget": st.integers(-1, 1_000_000),
    "plain_http": st.booleans(),
}


@given(st.fixed_dictionaries({"model": NAMES, "at": ADDRESSES}, optional=VALUES))
def test_an_entry_is_the_same_on_one_line_in_a_table_and_in_its_own_words(values: dict[str, object]) -> None:
    assert set(VALUES) == set(OPTIONS)
    lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in values.items()]
    table = "\n".join(["[[models]]", *lines])
    try:
        entry = make(values)
    except EntryError as error:
        assert error.field == "model"
        return
    assert parse(str(entry)) == entry == make(entry.values)
    options = [f"{name}={value}" for name, value in values.items() if name in OPTIONS]
    line = " ".join([f"{values['model']} at {values['at']}", *options])
    assert parse(line) == entry
    environment = {"KINDLE_APPLIANCE_MODELS": f"{line}, {entry}"}
    assert entry.thinking_budget is not None or load({}, environment).models == (entry, entry)
    with TemporaryDirectory() as folder:
        assert entry.thinking_budget is not None or stored(Path(folder, "a"), table).models == (entry,)


@given(st.text(max_size=60) | st.text(" at=pc.local:1/contexhk-5", max_size=60))
def test_any_text_is_an_entry_that_means_itself_or_is_refused(text: str) -> None:
    try:
        entry = parse(text)
    except EntryError as error:
        assert str(error) and error.allowed
        return
    assert parse(str(entry)) == entry and str(entry).isprintable() and "," not in str(entry)


# What is refused

WRONG = {
    # What stands in the list, its wrong entry, its line and what the line shows there, and words of the sentence.
    "an address without a computer": ('["a", "b at :80"]', 2, 1, ':80"]', "its address .* names no computer"),
    "a port": ('[\n"a",\n"b at pc:0",  # [\n]', 2, 3, "pc:0", "port is not a number from 1 to 65535"),
    "a scheme": ('["b at ftp://pc"]', 1, 1, "ftp", "neither http:// nor https://"),
    "a value": ('["b at pc context=many"]', 1, 1, "many", "Allowed is context = a whole number from 256"),
    "a value in a table": ('[{model="b", at="pc", context = 1}]', 1, 1, "1}", "context = 1. Allowed is context"),
    "a switch": ('[{model="b", at="pc", plain_http = 1}]', 1, 1, "1}", "Allowed is plain_http = true or false"),
    "twice": ('["b at pc context=300 context=400"]', 1, 1, "300", "context is set twice"),
    "an unknown name": ('[{model="b", at="pc", size = 9}]', 1, 1, "size", "size cannot .* is model, at, "),
    "no model": ('["a", {at = "pc"}]', 2, 1, '{at = "pc"}', "names no model. Understood was: at = pc"),
    "an empty name": ('["a", ""]', 2, 1, '""', "names no model"),
    "a list in a list": ('["a",\n ["b"]]', 2, 2, '["b"]', "neither a name nor a table"),
    "a number": ("[1]", 1, 1, "1]", "neither a name nor a table"),
    "a name with a slash": ('["a/b"]', 1, 1, '"a/b"', "no name of a model of Gemini's, and there is no address"),
    "a name of two words": ('["a b"]', 1, 1, '"a b"', "no name of a model of Gemini's"),
    "a name in other letters": ('["é"]', 1, 1, '"é"', "was: model = é. Allowed is a list of at least"),
    "a name that is more": ('[{model = "b at c", at = "pc"}]', 1, 1, "{", "cannot be the name of a model"),
    "an address that is none": ('[{model = "b", at = 5}]', 1, 1, "5", "its address is no text"),
    "words behind the address": ('["b at pc now please"]', 1, 1, "pc", r"at = pc \*\*\*. Allowed is an address"),
    "plain http to outside": ('[\n\n{model = "b",\tat = "http://a.de"}]', 1, 3, '"http:', "a.de is outside"),
    "an option of another dialect": (
        '[{model = "b", at = "pc", thinking_budget = 5}]', 1, 1, "5",
        "thinking_budget cannot be set for b: .* was: model = b, at = http://pc/v1, thinking_budget = 5."
    ),
    "no thinking at Gemini": (
        '[\n"a thinking_level=none"]', 1, 2, "none", "thinking_level cannot be set for a: Gemini has no such level"
    ),
    "both ways to think": (
        '["a thinking_level=low thinking_budget=0"]', 1, 1, "0", "level and thinking_budget cannot be set for a: "
    ),
}  # fmt: skip


def refused(config: Path, text: str) -> tuple[str, list[str]]:
    """The sentence that refuses a settings file, and what is shown below it."""
    with pytest.raises(SettingsError) as error:
        stored(config, text)
    sentence, excerpt = str(error.value), error.value.excerpt
    SCANNER.exempt(config)
    SCANNER.scan("output", f"{sentence}\n{excerpt}")
    assert sentence.splitlines() == [sentence]
    return sentence, excerpt.splitlines()


@pytest.mark.parametrize(("text", "number", "line", "place", "words"), WRONG.values(), ids=WRONG)
def test_a_wrong_entry_is_refused_with_its_line_its_place_and_what_is_allowed(
    config: Path, text: str, number: int, line: int, place: str, words: str
) -> None:
    said, shown = refused(config, f"mdns = true\nmodels = {text}\nport = 80\n")
    assert said.startswith(f"Entry {number} of models, from {config}, line {line + 1}, is not allowed: ")
    assert re.search(words, said)
    assert shown[0] == f"Line {line + 1} of {config}:"
    assert shown[1][shown[2].index("^") :].startswith(place)
    assert shown[3] == "A right line, for example:" and shown[4].strip() in EXAMPLES.values()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "it names no model"),
        ("1", "it is no list"),
        ("','", "it names no model"),
        ('{model = "a"}', r"a table of its own, with \[\[models\]\] above it"),
    ],
)
def test_a_list_that_is_none_is_refused(config: Path, text: str, words: str) -> None:
    said, shown = refused(config, f"models = {text}")
    assert re.match(rf"models, from {re.escape(str(config))}, line 1, is not allowed: .*{words}", said)
    assert said.endswith(f" Allowed is {MODELS.allowed}.")
    assert shown[-1].strip() == EXAMPLES[""]


TABLE = '[[models]]\nmodel = "a"\n\n[[models]]\nmodel = "b"\nat = "pc.local"\n'


@pytest.mark.parametrize(
    ("wrong", "place", "right"),
    [
        ("context = 5", "5", "context = 8192"),
        ("thinking_budget = 5", "5", EXAMPLES[""]),
        ("contxt = 500", "contxt", EXAMPLES[""]),
    ],
)
def test_a_wrong_line_of_a_models_own_table_is_shown(config: Path, wrong: str, place: str, right: str) -> None:
    said, shown = refused(config, f"{TABLE}  {wrong}  # mine\n\n[[models]]\nmodel = 'c'\ncontext = 500")
    assert said.startswith(f"Entry 2 of models, from {config}, line 7, is not allowed: ")
    assert shown[1][shown[2].index("^") :].startswith(place)
    assert shown[4].strip() == right


def test_a_plain_setting_below_a_models_own_table_is_told_to_belong_to_it(config: Path) -> None:
    said, shown = refused(config, f"{TABLE}\ntext_size = 40\n")
    assert (
        f"Entry 2 of models, from {config}, line 8, is not allowed: text_size cannot be set for one model." in said
    )
    assert (
        "It stands below [[models]], so it belongs to that model. As a setting of the appliance, put it above the"
        " first [[models]]. Understood was" in said
    )
    assert shown[1].strip() == "text_size = 40"
    assert "put it above" in refused(config, f"{TABLE}\nname = 'c'\n")[0]
    for key in ("key", "keys", "pin", "key_file"):
        assert "put it above" not in refused(config, f"{TABLE}\n{key} = '1234'\n")[0], "it is refused there, too"
    assert "It stands below" not in refused(config, 'models = [{model="a", text_size=4}]')[0]


def test_a_wrong_entry_of_the_environment_is_named() -> None:
    with pytest.raises(SettingsError) as error:
        load({}, {"KINDLE_APPLIANCE_MODELS": "a, b at pc.local:0, c"})
    assert str(error.value) == (
        "Entry 2 of models, from the environment, KINDLE_APPLIANCE_MODELS, is not allowed: its address cannot be"
        " used: its port is not a number from 1 to 65535. Understood was: model = b, at = pc.local:0. Allowed is an"
        " address such as pc.local:11434, 192.168.1.20:8080 or https://openrouter.ai/api/v1."
    )


def test_a_comma_in_a_number_does_not_make_one_more_model() -> None:
    with pytest.raises(SettingsError) as error:
        load({}, {"KINDLE_APPLIANCE_MODELS": "b at pc.local temperature=0,7"})
    assert str(error.value).startswith("Entry 2 of models, ") and "Understood was: model = 7." in str(error.value)


# A key

PLAIN = "plain-words-of-a-key"
TYPED = (
    *("b at pc.local key={}", "b at pc.local {}", "b at pc.local api-key={}", "b at pc.local Bearer {}"),
    *("b at pc.local Authorization: Bearer {}", "b at http://{}@pc.local", "b at pc.local?key={}"),
    *("b at pc.local#{}", "b at pc.local token={} context=5", "b at pc.local x={}", "b at {}@pc.local:0"),
    *("b at me:{}@pc.local", "b at pc.local context=5 key = {}"),
)
IN_TABLES = (
    *("key = '{}'", "api_key = '{}'", "headers = {{x = '{}'}}", "at = 'pc {}'", "auth = ['{}']", "key.x = '{}'"),
)


@pytest.mark.parametrize("key", [PLAIN, SERVER_KEY, KEY])
@pytest.mark.parametrize("typed", TYPED)
def test_a_key_in_an_entry_is_refused_and_not_shown(config: Path, typed: str, key: str) -> None:
    for text in ('models = ["a", "{}"]', "models = [\n  'a',\n  '{}', 'c'\n]", "models = 'a, {}'"):
        said, shown = refused(config, text.format(typed.format(key)))
        assert said.startswith("Entry 2 of models, ") and key not in said
        assert key not in "\n".join(shown) and "b at" in shown[1]
    with pytest.raises(SettingsError) as error:
        load({}, {"KINDLE_APPLIANCE_MODELS": typed.format(key)})
    assert key not in str(error.value)


@pytest.mark.parametrize("key", [PLAIN, SERVER_KEY, KEY])
@pytest.mark.parametrize("line", IN_TABLES)
def test_a_key_in_a_models_table_is_refused_and_not_shown(config: Path, line: str, key: str) -> None:
    typed = line.format(key)
    at = "" if "at =" in line else "at = 'pc', "
    for text in (f"{TABLE}{typed}\n".replace('at = "pc.local"\n', at and 'at = "pc"\n'),
                 f"models = [\n  {{model = 'b', {at}{typed}}}, 'c'\n]"):  # fmt: skip
        said, shown = refused(config, text)
        assert " of models, " in said and key not in said
        assert key not in "\n".join(shown)
    if "key" in line:
        assert "store it with: kindle-appliance key --for ADDRESS" in said


# Options of all models


def test_how_much_all_models_think_holds_for_geminis_only(config: Path) -> None:
    settings = stored(config, 'thinking_budget = 1024\nmodels = ["gemini-1", "b at pc.local"]')
    assert (settings.thinking_budget, settings.models[1].thinking_budget) == (1024, None)
