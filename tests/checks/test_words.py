"""What people read is in plain words and short sentences."""

import pytest

import markdown
import rust
import words


def fail_for(listed):
    if found := [f"{place}:{line}: {problem}" for place, line, problem in listed]:
        pytest.fail("\n".join(found), pytrace=False)


def test_the_documentation():
    fail_for(words.documentation())


def test_the_help():
    fail_for(words.help_texts())


def test_the_messages():
    fail_for(words.message_texts())


def found(text):
    return [(line, it) for paragraph in markdown.paragraphs(text) for line, it in words.problems(paragraph)]


def test_a_home_made_word_is_found_on_its_line_with_what_to_write():
    bad = "Patchwave starts a build. It ends\nwhen an event tells of it, and\nwhoever looks finds a tick\nbetween two."
    assert sorted(line for line, _ in found(bad)) == [2, 3, 3]
    assert found("Ended by a person: patchwave release")[-1] == (
        1,
        "“Ended by a person”: write to release it: patchwave release IMAGE",
    )
    assert found("Patchwave starts a build, and shows `report.told` with --story.") == []


def test_a_sentence_of_more_than_thirty_words_is_found():
    assert found("One " * 30 + "end.") == [(1, "a sentence of 31 words: “One One One One One One One One …”: split it")]
    assert found("One " * 29 + "end. " + "Two " * 29 + "end.") == []
    assert found("- " + "one " * 20 + "\n- " + "two " * 20) == []


def test_code_tables_and_targets_of_links_are_not_prose():
    assert found("```\nnobody told\n```\n") == []
    assert found("| a | b |\n|---|---|\n| nobody | " + "told " * 40 + "|\n") == []
    assert found("See [the list](nobody-told.md) of `nobody told`.") == []


def test_messages_are_what_a_source_can_print():
    source = """
        #[error("the ledger told {it} to nobody")] struct A;
        #[expect(unused, reason = "nobody was told")] fn a() { write("#told = :nobody told"); }
        #[cfg(test)] mod tests { fn b() { panic!("told by nobody at all") } }
    """
    texts = [" ".join(word.text for word in message) for message in words.messages(source)]
    assert texts == ["the ledger told X to nobody"]
    assert rust.value('r#"a "quoted" word"#') == 'a "quoted" word'
    assert rust.value('"one \\\n    line"') == "one line"


def test_a_line_of_help_goes_on_where_it_is_indented_more():
    text = "Commands:\n  demo  Simulates a day\n          of a fleet\n  why   Says why\n\nOptions:\n  --story\n      Prints events\n"
    lines = [" ".join(word.text for word in paragraph) for paragraph in words.help_paragraphs(text)]
    assert lines == ["Commands:", "`…` Simulates a day of a fleet", "`…` Says why", "Options:", "`…` Prints events"]
