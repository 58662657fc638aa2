from __future__ import annotations

import os

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from catalog.storage.atomic import user_path
from catalog.storage.errors import PathError
from catalog.storage.layout import escaped, unescaped


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("café 1.mp4", "café 1.mp4"),
        (os.fsdecode(b"caf\xe9.mp4"), "caf\\xe9.mp4"),
        ("caf\\xe9.mp4", "caf\\x5cxe9.mp4"),
        ("a\\b", "a\\b"),
        ("two\nlines\x1b[2J", "two\\x0alines\\x1b[2J"),
        ("\ud800", "\\ud800"),
    ],
)
def test_names_are_text(name: str, text: str) -> None:
    assert escaped(name) == text
    assert unescaped(text) == name


@settings(deadline=None)
@example(b"\\x5cxe9 \\ud800 \xc2\x85")
@given(st.binary(max_size=40))
def test_every_name_of_a_file_comes_back(name: bytes) -> None:
    text = escaped(os.fsdecode(name))
    text.encode()
    assert not any(ord(one) < 32 for one in text)
    assert os.fsencode(unescaped(text)) == name


@pytest.mark.parametrize("text", ["~nobody-of-this-name/x", "file:///data", "$HOME/x", "/d/${USER}", "a\0b"])
def test_a_path_that_means_no_folder_is_refused(text: str) -> None:
    with pytest.raises(PathError) as caught:
        user_path(text)
    assert escaped(text) in str(caught.value)


def test_a_users_path_begins_at_his_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert [str(user_path(text)) for text in ("~/x", "x/../y/", "$5", "a~b")] == [
        "/home/ada/x",
        "x/../y",
        "$5",
        "a~b",
    ]
