"""A planted key is found in every form and place; what is clean is called clean."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from urllib.parse import quote

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import InvalidInput
from toolkit.secret import Secret
from toolkit.secret_scan import ScanReport, _Search, scan
from toolkit.toolkit import Toolkit, current

VALUE = 'zq+/"%' + "Key" * 8 + "=é"


@pytest.fixture
def toolkit(home, monkeypatch) -> Toolkit:
    made = current()
    made.settings.make_home()
    monkeypatch.setattr(type(made.keys), "known_secrets", lambda self: [Secret(VALUE)])
    return made


def _found(report: ScanReport) -> list[str]:
    return [Path(finding.path).name for finding in report.findings]


FORMS = {
    "raw": VALUE.encode(),
    "url": quote(VALUE, safe="").encode(),
    "json": json.dumps({"a": VALUE}).encode(),
    "json-letters": json.dumps({"a": VALUE}, ensure_ascii=False).encode(),
    "base64": base64.b64encode(VALUE.encode()),
    "basic-auth": base64.b64encode(f"user:{VALUE}".encode()),
    "utf-16": VALUE.encode("utf-16-le"),
    "hex": VALUE.encode().hex().encode(),
    "upper-hex": VALUE.encode().hex().upper().encode(),
    "upper": VALUE.encode().upper(),
    "reversed": VALUE.encode()[::-1],
    "first-three-quarters": VALUE.encode()[: len(VALUE.encode()) * 3 // 4 + 1],
    "last-three-quarters": VALUE.encode()[len(VALUE.encode()) // 4 :],
}


@pytest.mark.parametrize("form", FORMS)
def test_every_written_form_is_found_at_its_place(toolkit, home, form):
    (home / "debug.log").write_bytes(b"noise " * 100 + FORMS[form] + b" noise")
    report = scan(toolkit)
    (finding,) = report.findings
    assert finding.what == "known key"
    assert Path(finding.path).name == "debug.log"
    assert 595 <= finding.offset <= 600 + len(FORMS[form])


@given(lead=st.binary(max_size=9), tail=st.binary(max_size=9))
def test_base64_of_anything_around_the_key_is_found(lead, tail):
    search = _Search([Secret("a-key-of-some-length")])
    packed = base64.b64encode(lead + b"a-key-of-some-length" + tail)
    assert any(what == "known key" for _, what in search(packed))


def test_packed_files_are_unpacked(toolkit, tmp_path):
    with gzip.open(tmp_path / "cassette.yaml.gz", "wb") as file:
        file.write(b"x" * 9999 + VALUE.encode())
    frame = pd.DataFrame({"note": ["fine", VALUE, "fine"]})
    frame.to_parquet(tmp_path / "export.parquet", compression="zstd")
    assert set(_found(scan(toolkit, [tmp_path / "cassette.yaml.gz"]))) == {"cassette.yaml.gz"}
    assert set(_found(scan(toolkit, [tmp_path / "export.parquet"]))) == {"export.parquet"}


def test_a_row_of_the_store_is_named_even_where_the_file_packs_it(toolkit):
    for number in range(50):
        toolkit.store.append(
            "calls", {"call_id": f"call-{number}", "output_text": f"fine {number}" * 50}
        )
    # Past the redaction of rows, as an older version may have written it.
    row = json.dumps({"call_id": "call-bad", "error_message": f"401 for {VALUE}"})
    toolkit.store._journal.append("calls", row)
    toolkit.store.ingest()
    places = {finding.place for finding in scan(toolkit).findings if finding.place}
    assert places == {"calls call-bad"}


@pytest.mark.parametrize("lead", ["sk-", "gsk_", "Bearer "])
def test_the_shape_of_an_unknown_key_is_found_once(toolkit, home, lead):
    (home / "notes.txt").write_text(f"try {lead}{'a1B2' * 10} today")
    (finding,) = scan(toolkit).findings
    assert finding.what.startswith("shape of a key")


@pytest.mark.parametrize(
    "text", ["Bearer [redacted]", "?api_key=REDACTED-BY-US", "?key=$API_KEY_HERE"]
)
def test_a_placeholder_is_no_key(toolkit, home, text):
    (home / "notes.txt").write_text(text)
    assert scan(toolkit).is_clean


def test_a_clean_home_is_clean_and_says_how_much_was_read(toolkit, home):
    (home / "notes.txt").write_text("nothing here")
    (home / "empty").touch()
    report = scan(toolkit)
    assert report.is_clean
    assert report.files >= 2
    assert report.known_keys == 1


def test_no_finding_ever_holds_the_value(toolkit, home):
    (home / "debug.log").write_text(f"{VALUE} and sk-{'a1B2' * 10}")
    told = repr(scan(toolkit))
    assert VALUE not in told
    assert "a1B2" not in told


def test_a_path_that_is_not_there_is_refused(toolkit, tmp_path):
    with pytest.raises(InvalidInput, match="nowhere"):
        scan(toolkit, [tmp_path / "nowhere"])


def test_what_cannot_be_read_is_not_called_clean(toolkit, tmp_path):
    (tmp_path / "broken.gz").write_bytes(b"no gzip at all")
    report = scan(toolkit, [tmp_path / "broken.gz"])
    assert not report.is_clean
    assert "broken.gz" in report.unread[0]
