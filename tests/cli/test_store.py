"""The store from the shell: asked in SQL, verified, backed up, put back."""

from __future__ import annotations

import json

from tests.cli.shell import run, run_json


def test_sql_gives_objects_with_the_columns_as_keys(ledger):
    sql = (
        "SELECT status, count(*) AS n, max(output_tokens) AS most FROM calls GROUP BY 1 ORDER BY 1"
    )
    assert run_json("store", "sql", sql) == [
        {"status": "error", "n": 1, "most": None},
        {"status": "ok", "n": 4, "most": 20},
    ]


def test_a_whole_number_stays_whole_beside_a_missing_one(ledger):
    done = run("store", "sql", "SELECT output_tokens FROM calls ORDER BY seq", "--json")
    assert json.loads(done.stdout)[0] == {"output_tokens": 20}
    assert "20.0" not in done.stdout


def test_sql_comes_from_stdin_too(ledger):
    done = run("store", "sql", "-", "--json", stdin="SELECT 42 AS answer")
    assert json.loads(done.stdout) == [{"answer": 42}]


def test_sql_may_not_write_or_read_files(ledger):
    for sql in ("DELETE FROM calls", "SELECT * FROM read_text('/etc/hostname')", "SELECT nope"):
        done = run("store", "sql", sql, "--json")
        assert done.returncode == 1
        assert json.loads(done.stdout)["error"]["code"].startswith("STORE_")
    assert run_json("store", "sql", "SELECT count(*) AS n FROM calls") == [{"n": 5}]


def test_info_counts_rows_and_says_where(ledger, home):
    facts = run_json("store", "info")
    assert facts["rows"]["calls"] == 5
    assert facts["path"] == str(home / "toolkit.duckdb")
    assert "calls 5" in run("store", "info").stdout


def test_a_good_store_verifies_and_a_damaged_one_does_not(ledger, home):
    run_json("store", "ingest")
    assert all(check["is_ok"] for check in run_json("store", "verify"))
    file = home / "toolkit.duckdb"
    file.write_bytes(b"x" * file.stat().st_size)
    done = run("store", "verify")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_a_backup_brings_back_what_it_held(ledger, home):
    backup = run_json("store", "backup")["backup"]
    assert str(home / "backups") in backup
    refused = run("store", "restore", backup, stdin="n\n")
    assert refused.returncode == 1
    run_json("store", "restore", backup, "--yes")
    assert run_json("store", "sql", "SELECT count(*) AS n FROM calls") == [{"n": 5}]


def test_a_backup_brings_back_the_providers_too(ledger, home):
    run("providers", "add", "mine", "--url", "http://127.0.0.1:8999/v1", "--local", "--no-test")
    backup = run_json("store", "backup")["backup"]
    run("providers", "remove", "mine")
    run_json("store", "restore", backup, "--yes")
    names = [row["name"] for row in run_json("providers", "list")]
    assert "mine" in names
    assert (home / "providers.toml.bak").is_file()


def test_what_is_no_backup_is_refused(ledger, tmp_path):
    (tmp_path / "note.txt").write_text("no store")
    done = run("store", "restore", str(tmp_path / "note.txt"), "--yes")
    assert done.returncode == 1
    assert run_json("store", "sql", "SELECT count(*) AS n FROM calls") == [{"n": 5}]


def test_prune_shows_first_and_removes_only_what_was_confirmed(ledger):
    shown = run_json("store", "prune", "--bodies-older-than", "1m", "--dry-run")
    assert sum(row["calls"] for row in shown["affected"]) > 0 and shown["removed"] is None
    refused = run("store", "prune", "--bodies-older-than", "1m")
    assert refused.returncode == 2 and "--yes" in refused.stderr
    done = run_json("store", "prune", "--bodies-older-than", "1m", "--yes")
    assert done["removed"]["bodies"] == sum(row["calls"] for row in shown["affected"])
    again = run("store", "prune", "--bodies-older-than", "1m", "--yes")
    assert again.returncode == 0 and "No call is so old" in again.stdout + again.stderr


def test_export_writes_a_file_for_each_month(ledger, tmp_path):
    written = run_json("store", "export", "--parquet", str(tmp_path / "out"), "--table", "calls")
    assert sum(file["rows"] for file in written) == 5
    assert all(file["month"] in file["path"] for file in written)
    wrong = run("store", "export", "--parquet", str(tmp_path / "out"), "--since", "2026")
    assert wrong.returncode == 2 and "not a month" in wrong.stderr
