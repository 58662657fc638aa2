"""CSV files of the user's own: read where they are certain, else refused with the row and the cause."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from unicodedata import normalize

import pytest

from trainables.data.datasets import CsvDataset, DatasetError, Listing
from trainables.data.datasets.own_files import list_csv

ROWS = [["path", "label", "split"], ["a.mp4", "x", "train"], ["b.mp4", "y, z", "val"]]


def listed(folder: Path, text: str | bytes, **options: object) -> Listing:
    (folder / "t.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return list_csv(CsvDataset.model_validate({"path": str(folder / "t.csv"), **options}))


def said(listing: Listing) -> list[tuple[str, str, str]]:
    return [(one.path.name, listing.classes[one.label], one.split) for one in listing.entries]


@pytest.mark.parametrize(
    "text",
    [
        'path,label,split\na.mp4,x,train\nb.mp4,"y, z",val\n',
        "path;label;split\na.mp4;x;train\nb.mp4;y, z;val\n",
        "sep=;\npath;label;split\na.mp4;x;train\nb.mp4;y, z;val\n",
        "path\tlabel\tsplit\na.mp4\tx\ttrain\nb.mp4\ty, z\tval\n",
        "Path|LABEL|Split\na.mp4|x|TRAIN\nb.mp4|y, z|Validation\n",
        '\ufeff"path","label","split"\r\n"a.mp4","x","train"\r\n"b.mp4","y, z","valid"\r\n',
        'path,label,split,,\na.mp4,x,train,,\n,,,,\n\nb.mp4,"y, z",val,,\n',
        ',path,label,split\n0,a.mp4,x,training\n1,b.mp4,"y, z",validation\n',
        'label,split,path,seconds\nx,train,a.mp4,3\n"y, z",val,b.mp4,4\n',
    ],
)
def test_what_is_certain_is_read(text: str, tmp_path: Path) -> None:
    assert said(listed(tmp_path, text)) == [("a.mp4", "x", "train"), ("b.mp4", "y, z", "val")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "path,label\na.mp4,so, it\nb.mp4,x\nc.mp4,a, b\n",
            "3 cells where the header has 2 .so have 1 more, in lines 4",
        ),
        (
            "path,label\na.mp4,so, it\nb.mp4,x\nc.mp4,y\n",
            r"line 2; put a cell that has commas in it into quotes",
        ),
        ("path;label\na.mp4;so; it\nb.mp4;x\n", r"line 2; put a cell that has semicolons in it into quotes"),
        ("path,label,split\na.mp4,x\nb.mp4,y,val\n", "2 cells where the header has 3; .*line 2; fill in"),
        ("path,label,label\na.mp4,x,y\n", "column label is there twice; .*line 1"),
        ("Path,path,label\na.mp4,a.mp4,y\n", "column path is there twice"),
        ("a.mp4 0\nb.mp4 1\n", "there is no header, the file begins with a row, with spaces where commas"),
        ("a.mp4,x,train\nb.mp4,y,val\n", r"no header, the file begins with a row \(a.mp4,x,train\)"),
        ("path label\na.mp4 x\n", "spaces where commas are expected"),
        ("file;label\na.mp4;x\n", "missing column path.*semicolons where commas"),
        ("video,class\na.mp4,x\n", "the header has video, class"),
        ("path,label,subset\na.mp4,x,train\nb.mp4,y,val\n", "column subset looks like the split"),
        ("path,label,spilt\na.mp4,x,train\nb.mp4,y,val\n", "column spilt looks like the split"),
        ('path,label\na.mp4,"x\nb.mp4,y\n', "line 2.*quote"),
        ('path,label\na.mp4,"x" y\nb.mp4,y\n', "line 2.*quote"),
        ('path,label\na.mp4,"x\nb.mp4,"y\n', "line 2.*quote"),
        ("path,label\na.mp4,x\npath,label\nb.mp4,y\n", "the header is there again; .*line 3"),
        ("path,label\na\x00.mp4,x\nb.mp4,y\n", "control character in a cell; .*line 2"),
        ("path,label\na.mp4,1\nb.mp4,01\nc.mp4,2\n", "labels 1 and 01 are one number; .*lines 2 and 3"),
        (
            "path,label,split\na.mp4,x,train\n./a.mp4,y,val\n",
            "one file is listed twice, as a.mp4 and as ./a.mp4",
        ),
        (
            "path,label,split\na.mp4,x,train\nsub/../a.mp4,x,val\n",
            "one file is listed twice; |listed twice, as",
        ),
        ("path,label,split\na.mp4,x,train\nlink.mp4,y,val\n", "one file is listed twice.*lines 2 and 3"),
        ("path,label,split\na.mp4,x,train\nfolder/a.mp4,y,val\n", "one file is listed twice.*lines 2 and 3"),
        (b"path,label\na.mp4,x\nb.mp4,caf\xe9\n", "not a CSV file in UTF-8 .*; .*line 3"),
        ("path,label\na.mp4,x\n".encode("utf-16"), "in UTF-16"),
        ("path,label\na.mp4,x\n".encode("utf-16-le"), "in UTF-16"),
        ("path,label\na.mp4,x\u200b\nb.mp4,x\n", r"an invisible character \(U\+200B\) in a cell; .*line 2"),
        (
            "\ufeff\ufeffpath,label\na.mp4,x\nb.mp4,y\n",
            r"invisible character \(U\+FEFF\)",
        ),
        ("path,label\na.mp4,x\x85y\nb.mp4,x\n", r"a control character in a cell"),
        ("path,label\na.mp4;x\nb.mp4,y\n", "line 2; the row has semicolons where the header has commas"),
        ('[{"path": "a.mp4", "label": "x"}]', "not a CSV file but a JSON file"),
        ('\ufeff {"path": "a.mp4", "label": "x"}\n', "not a CSV file but a JSON file"),
        (b"PK\x03\x04\x14\x00\x06\x00\x08\x00", "not a CSV file but a workbook or archive"),
        (b"\x1f\x8b\x08\x00abc", "not a CSV file but a compressed file"),
    ],
)
def test_one_line_names_the_row_and_the_cause(text: str | bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.mp4").write_text("a")
    (tmp_path / "link.mp4").symlink_to("a.mp4")
    (tmp_path / "folder").symlink_to(tmp_path)
    with pytest.raises(DatasetError, match=message) as caught:
        listed(tmp_path, text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    assert caught.value.what_to_do


def test_one_word_in_two_forms_is_one_class(tmp_path: Path) -> None:
    composed, decomposed = (normalize(form, "café") for form in ("NFC", "NFD"))
    found = listed(tmp_path, f"path,label\na.mp4,{composed}\nb.mp4,{decomposed}\nc.mp4,walk\nd.mp4,Walk\n")
    assert found.classes == ("Walk", composed, "walk")
    assert found.notes == (
        "classes Walk and walk differ only in capitals, spaces or zeros: they are 2 classes",
    )


def test_a_listed_name_is_found_in_the_form_that_the_disk_has(tmp_path: Path) -> None:
    composed, decomposed = (normalize(form, "café.mp4") for form in ("NFC", "NFD"))
    (tmp_path / composed).write_text("a")
    found = listed(tmp_path, f"path,label\n{decomposed},x\nb.mp4,y\n")
    assert {one.path.name for one in found.entries} == {composed, "b.mp4"}
    with pytest.raises(DatasetError, match="one file is listed twice"):
        listed(tmp_path, f"path,label\n{decomposed},x\n{composed},y\n")


def test_a_file_may_begin_with_a_tilde(tmp_path: Path) -> None:
    found = listed(tmp_path, "path,label\n~nobody-of-this-name.mp4,x\nb.mp4,y\n")
    assert {one.path for one in found.entries} == {
        tmp_path / "~nobody-of-this-name.mp4",
        tmp_path / "b.mp4",
    }


def test_columns_that_are_not_used_are_named(tmp_path: Path) -> None:
    found = listed(tmp_path, "path,label,seconds\na.mp4,x,3\nb.mp4,y,4\n")
    assert found.notes == ("columns of the list that are not used: seconds",)


def test_a_home_folder_in_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    found = listed(tmp_path, "path,label\n~/a.mp4,x\nb.mp4,y\n", root="~/videos")
    assert {str(one.path.relative_to(tmp_path)) for one in found.entries} == {
        "home/a.mp4",
        "home/videos/b.mp4",
    }


@pytest.mark.parametrize("seed", ["0", "1", "2", "3"])
def test_the_order_of_labels_is_the_same_in_every_process(seed: str, tmp_path: Path) -> None:
    labels = ["10", "9", "x", "٣", "B", "b", "é", "01"]
    rows = "".join(f"{number}.mp4,{label}\n" for number, label in enumerate(labels))
    (tmp_path / "t.csv").write_text(f"path,label\n{rows}")
    code = (
        "from trainables.data.datasets.own_files import list_csv\n"
        "from trainables.data.datasets import CsvDataset\n"
        f"print(ascii(list_csv(CsvDataset(path={str(tmp_path / 't.csv')!r})).classes))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == ascii(tuple(sorted(labels)))
