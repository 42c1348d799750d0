"""`.ci/run` calls `make check`, ends with pytest's closing line, and fails where it fails."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

CLOSING = "12 passed, 1 skipped in 3.45s"


def _run(
    checkout: Path, folder: Path, services: str, check: str
) -> subprocess.CompletedProcess[str]:
    if shutil.which("make") is None:
        pytest.skip("no make")
    (folder / ".ci").mkdir()
    shutil.copy(checkout / ".ci" / "run", folder / ".ci" / "run")
    (folder / "Makefile").write_text(f"services:\n\t@{services}\ncheck:\n\t@{check}\n")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        [str(folder / ".ci" / "run")], env=clean, capture_output=True, text=True, check=False
    )


def test_last_line_is_that_of_pytest(checkout: Path, tmp_path: Path) -> None:
    done = _run(checkout, tmp_path, "true", f"echo '{CLOSING}'; echo more")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == CLOSING


def test_a_failing_check_fails_the_run(checkout: Path, tmp_path: Path) -> None:
    done = _run(checkout, tmp_path, "true", "echo '1 failed, 2 passed in 0.1s'; exit 1")
    assert done.returncode != 0
    assert done.stdout.splitlines()[-1] == "1 failed, 2 passed in 0.1s"


def test_a_check_that_stops_before_pytest_says_so(checkout: Path, tmp_path: Path) -> None:
    done = _run(checkout, tmp_path, "true", "exit 1")
    assert done.returncode != 0
    assert done.stdout.splitlines()[-1] == "pytest was not reached"


def test_missing_services_fail_the_run(checkout: Path, tmp_path: Path) -> None:
    assert _run(checkout, tmp_path, "exit 1", "true").returncode != 0
