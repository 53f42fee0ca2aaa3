"""Files are written completely or not at all, and what is read from them is checked."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import stat
from pathlib import Path
from random import Random
from typing import Any

import pytest

import gilx
from gilx.audit.plan import read_plan
from gilx.cli import main
from gilx.cli.file_options import read_record
from gilx.errors import ArgumentError, one_of
from gilx.files import replacing, save_text
from gilx.sampling.latency import LatencyRow
from gilx.sampling.timeline import Timeline
from tests.fuzz.files import make, records

pytestmark = pytest.mark.concurrent_callers


def test_a_text_is_written(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    save_text(path, "first é\n")
    path.chmod(0o640)
    save_text(path, "second")
    assert path.read_text() == "second"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_secret_stays_so(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("before")
    path.chmod(0o600)
    with replacing(path) as fresh:
        assert stat.S_IMODE(fresh.stat().st_mode) == 0o600
        fresh.write_text("after")
    assert path.read_text() == "after"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("before")
    with pytest.raises(ZeroDivisionError), replacing(path) as fresh:
        fresh.write_text("half of wh")
        raise ZeroDivisionError
    with pytest.raises(UnicodeEncodeError):
        save_text(path, "\ud800")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_links_and_devices_stay_what_they_are(tmp_path: Path) -> None:
    path, link = tmp_path / "x", tmp_path / "link"
    path.write_text("before")
    link.symlink_to(path)
    save_text(link, "after")
    assert link.is_symlink()
    assert path.read_text() == "after"
    save_text(os.devnull, "nothing")
    assert not Path(os.devnull).is_file()


@pytest.mark.parametrize("option", ["--json", "--csv"])
def test_what_cannot_be_written_is_said(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "no" / "x")
    few = ("--workers", "1", "--blocks", "1", "--size", "8", "--budget", "0.1")
    assert main(["measure", "triad", *few, "--pools", "serial", option, path]) == 2
    error = capsys.readouterr().err
    assert f"{option[2:]}: can't write" in error
    assert error.count("\n") == 1


ROW = tuple(each.name for each in dataclasses.fields(LatencyRow))
LATENCY = {
    "schema": "gilx.latency",
    "version": 3,
    "target": "x",
    "period": 0.005,
    "gil": True,
    "environment": "here",
    "rows": [],
    "lines_missing": "",
}


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        (gilx.Latency, LATENCY, "text.rows: expected the baseline and at least one more"),
        (gilx.Latency, LATENCY | {"rows": ["x"]}, r"text.rows\[0\]: expected an object"),
        (
            gilx.Latency,
            LATENCY | {"rows": [dict.fromkeys(ROW, 10**400)]},
            "text.rows.0..workers: expected a whole number of 64 bits, got 1000",
        ),
        (gilx.Latency, LATENCY | {"more": 1}, "text: expected no field 'more'"),
        (
            Timeline,
            {
                "schema": "gilx.timeline",
                "version": 3,
                "lanes": [],
                "wall": "x",
                "since": 0,
                "start": 0,
                "pid": 1,
                "lines": [],
            },
            "text.wall: expected float, got 'x'",
        ),
        (
            Timeline,
            {
                "schema": "gilx.timeline",
                "version": 3,
                "lanes": [
                    {"name": "x", "native_id": 1, "spans": [[0, 1, "nothing", None]]}
                ],
                "wall": 1,
                "since": 0,
                "start": 0,
                "pid": 1,
                "lines": [],
            },
            r"text.lanes\[0\].spans\[0\]\[2\]: expected one of holding",
        ),
    ],
)
def test_damaged_records_are_refused(kind: type, fields: object, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        kind.from_json(json.dumps(fields))  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", records(), ids=lambda kind: kind.__name__)
def test_every_record_refuses_other_text(kind: Any) -> None:
    text = make(Random(1), kind, kind.__module__).to_json()
    values = json.loads(text)
    schema, version = values["schema"], values["version"]

    def edited(**changes: object) -> str:
        return json.dumps(values | changes)

    refused: dict[Any, str] = {
        None: "None",
        3: "3",
        **dict.fromkeys(
            ("", "nonsense", text[:-1], text[: len(text) // 2]), "other text"
        ),
        **dict.fromkeys(("[" * 100_000, '{"a":' * 50_000, "9" * 5000), "other text"),
        text.replace(f'"version": {version}', '"version": NaN'): "other text (NaN is no",
        "[1]": "no JSON object",
        "{}": "None, version None",
        edited(schema="x"): f"x, version {version}",
        edited(version=True): f"{schema}, version True",
        edited(version=99): f"{schema}, version 99; a newer gilx wrote it",
    }
    expected = f"text: expected JSON of schema {schema}, version {version}; got "
    for other, words in refused.items():
        with pytest.raises(ArgumentError, match=f"^{re.escape(expected + words)}"):
            kind.from_json(other)
    with pytest.raises(ArgumentError, match=r"^text: expected no field 'more'"):
        kind.from_json(edited(more=1))
    for name in values.keys() - {"schema", "version"}:
        less = {key: value for key, value in values.items() if key != name}
        with pytest.raises(ArgumentError, match=rf"^text: expected a field '{name}'"):
            kind.from_json(json.dumps(less))
        with pytest.raises(ArgumentError, match=r"^text\."):
            kind.from_json(edited(**{name: [[[]]]}))


def test_wrong_words_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["probe", "json:loads", "--budget"], ["run", "triad", "a\nb", "c"]):
        with pytest.raises(SystemExit) as stopped:
            main(words)
        assert stopped.value.code == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_messages_are_short_however_long_what_was_given() -> None:
    for given in ("x" * 5000, "a\nb\x1b", 10**5000, [0] * 999):
        with pytest.raises(ArgumentError, match=r"^name: expected one of a; got .{,62}$"):
            one_of("name", given, ["a"])


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("command", ["compare", "audit"])
def test_file_in_another_encoding_is_refused_with_the_right_one(
    encoding: str, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x"
    path.write_text('[[call]]\ntarget = "math:sqrt"\n', encoding=encoding)
    assert main([command, str(path), *[str(path)] * (command == "compare")]) == 2
    words = f"gilx {command}: {path}: expected text in UTF-8, got UTF-16 or UTF-32"
    error = capsys.readouterr().err
    assert error.startswith(words)
    assert error.endswith("save the file as UTF-8\n")


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="got other bytes from byte 4 on"):
        read_record(written(tmp_path, b"name\xff"), str)


def test_byte_order_mark_of_utf8_is_ignored(tmp_path: Path) -> None:
    record = Timeline((), 1.0, 0.0)
    path = written(tmp_path, b"\xef\xbb\xbf" + record.to_json().encode())
    assert read_record(path, type(record).from_json) == record
    assert type(record).from_json(f"\ufeff{record.to_json()}") == record
    plan = written(tmp_path, b"\xef\xbb\xbf[[call]]\ntarget = 'math:sqrt'\nsizes = [2]\n")
    assert len(read_plan(plan).entries) == 1


def written(directory: Path, data: bytes) -> str:
    """Return the name of a file with these bytes."""
    path = directory / "written"
    path.write_bytes(data)
    return str(path)
