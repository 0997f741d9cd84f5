"""The history that is sent with a question: whole turns, newest first, and always the last one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kindle_appliance.conversation import GenerationOptions, Message, Question
from kindle_appliance.upstream import history
from kindle_appliance.upstream.rung import Limits
from kindle_appliance.upstream.tokens import estimate

QUESTION = Message("user", "And now?")


def trim(conversation: list[Message], characters: int) -> list[Message]:
    """Return the messages that are sent of a conversation. Its last message is the question."""
    *before, question = conversation
    trimmed = history.trim(Question(question.text, tuple(before), "Be short."), characters)
    assert trimmed.instruction == "Be short."
    return list(trimmed.messages)


def turn(number: int, size: int) -> list[Message]:
    """A question and an answer that together have `size` characters."""
    question = f"Question {number}?"
    return [Message("user", question), Message("model", str(number) * (size - len(question)))]


def test_a_history_that_fits_is_sent_whole() -> None:
    conversation = [*turn(1, 400), *turn(2, 600), QUESTION]
    assert trim(conversation, 1000) == conversation


def test_the_oldest_turns_are_left_out_whole_until_the_rest_fits() -> None:
    conversation = [*turn(1, 100), *turn(2, 600), *turn(3, 400), QUESTION]
    assert trim(conversation, 1000) == [*turn(2, 600), *turn(3, 400), QUESTION]
    assert trim(conversation, 999) == [*turn(3, 400), QUESTION], "no older turn is sent behind a gap"


def test_the_last_turn_is_sent_without_the_middle_of_its_answer() -> None:
    asked, answered = turn(1, 100)[0], Message("model", "begin" + "x" * 5000 + "end")
    sent = trim([*turn(9, 50), asked, answered, QUESTION], 1000)
    assert sent[0] == asked and sent[-1] == QUESTION and len(sent) == 3
    assert sent[1].text.startswith("beginxxx") and sent[1].text.endswith("xxxend") and "[...]" in sent[1].text
    assert 990 <= sum(len(message.text) for message in sent[:-1]) <= 1000


def test_a_question_without_history_is_unchanged() -> None:
    assert trim([QUESTION], 1000) == [QUESTION]


def test_a_history_from_a_script_need_not_alternate() -> None:
    told = [Message("model", "Hello."), Message("user", "a"), Message("user", "b"), Message("model", "c")]
    assert trim([*told, QUESTION], 1000) == [*told, QUESTION]
    assert trim([*told, QUESTION], 2) == [*told[2:], QUESTION]


def test_several_long_messages_of_the_last_turn_are_all_shortened() -> None:
    sent = trim([Message("user", "a" * 3000), Message("model", "b" * 5000), QUESTION], 1000)
    assert [message.text[0] for message in sent] == ["a", "b", "A"]
    assert sum(len(message.text) for message in sent[:-1]) <= 1000


@pytest.mark.parametrize("characters", [500, 5000])
@given(sizes=st.lists(st.integers(0, 2000), max_size=8))
def test_the_budget_holds_and_the_end_of_the_history_is_sent(characters: int, sizes: list[int]) -> None:
    said = [each for number, size in enumerate(sizes) for each in turn(number, 20 + size)]
    sent = trim([*said, QUESTION], characters)
    assert sent[-1] == QUESTION
    assert sum(len(message.text) for message in sent[:-1]) <= characters
    if said:
        assert sent[-3] == said[-2], "the last question is sent"
        assert sent[:-3] == said[:-2][len(said[:-2]) - len(sent[:-3]) :]


# In tokens

RULES = "Answer in the language of the question. Be short. Never use emoji."
CONTEXTS = st.sampled_from([0, 64, 256, 1000, 2048, 4096, 32_768])
TEXTS = st.sampled_from(["海水", "17 ", "Because of salt. "]).flatmap(
    lambda word: st.integers(0, 900).map(word.__mul__)
)


@given(context=CONTEXTS, question=TEXTS, texts=st.lists(TEXTS, max_size=8))
def test_a_prompt_fits_half_of_a_small_context_whatever_it_is_made_of(
    context: int, question: str, texts: list[str]
) -> None:
    said = tuple(Message("model" if index % 2 else "user", text) for index, text in enumerate(texts))
    asked = Question(question, said, RULES)
    fitting = history.fit(asked, Limits(24_000, context))
    assert fitting.text == question
    assert RULES.startswith(fitting.instruction) and estimate(fitting.instruction) <= context // 8
    if estimate(question) + estimate(RULES) <= context // 2:
        assert sum(estimate(each.text) for each in fitting.messages) + estimate(fitting.instruction) <= context // 2
    else:
        assert fitting.history == ()
    assert len(fitting.history) <= len(said)


def test_digits_and_chinese_leave_room_for_fewer_turns() -> None:
    def kept(text: str) -> int:
        said = tuple(Message(role, text * 100) for _ in range(50) for role in ("user", "model"))
        return len(history.fit(Question("And now?", said), Limits(100_000, 8192)).history)

    assert kept("word ") / 3 > kept("1234 ") > kept("海水海水海水") > 1


def test_without_a_context_nobody_counts_tokens() -> None:
    said = (Message("user", "海" * 9000), Message("model", "水" * 9000))
    asked = Question("And now?", said, RULES * 1000)
    assert history.fit(asked, Limits(24_000)) == asked


def test_an_answer_gets_the_other_half_of_the_context() -> None:
    assert [
        Limits(context=context).bounded(GenerationOptions(max_output_tokens=most)).max_output_tokens
        for context, most in ((None, 8192), (4096, 8192), (4096, None), (4097, 100), (255, 8192), (None, None))
    ] == [8192, 2048, 2048, 100, 128, None]
