"""The report in headless Chromium: no console error, charts and headings in place, prints."""

import shutil
import subprocess

import pytest

from weighbridge.report.html import render_html

BINARIES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--enable-logging=stderr",
    "--v=0",
)


@pytest.fixture(scope="module")
def chromium():
    found = next((path for name in BINARIES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium on this machine")
    return found


@pytest.fixture(scope="module")
def opened(chromium, studies, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    path = folder / "report.html"
    path.write_text(render_html(studies["full"]), encoding="utf-8")

    def run(*arguments):
        profile = f"--user-data-dir={folder / 'profile'}"
        command = [chromium, *FLAGS, profile, *arguments, path.as_uri()]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=90, check=True, cwd=folder
        )

    return run


def test_report_opens_without_console_errors_and_with_its_charts(opened):
    seen = opened("--dump-dom")
    assert [line for line in seen.stderr.splitlines() if "CONSOLE" in line] == []
    assert seen.stdout.count("<svg ") == 11
    assert seen.stdout.count("<h2") >= 12
    assert "Split by query type: paid back by month 9" in seen.stdout


def test_a_page_with_a_fault_would_be_caught(chromium, tmp_path):
    path = tmp_path / "bad.html"
    path.write_text("<script>console.error('a fault')</script>", encoding="utf-8")
    command = [chromium, *FLAGS, f"--user-data-dir={tmp_path / 'p'}", "--dump-dom", path.as_uri()]
    seen = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    assert [line for line in seen.stderr.splitlines() if "CONSOLE" in line]


def test_report_prints_to_several_pages_with_its_folded_parts_open(opened, tmp_path):
    target = tmp_path / "report.pdf"
    opened("--no-pdf-header-footer", f"--print-to-pdf={target}")
    data = target.read_bytes()
    assert data.startswith(b"%PDF-")
    assert 8 <= data.count(b"/Type /Page\n") + data.count(b"/Type /Page ") <= 25
    if shutil.which("pdftotext"):
        text = subprocess.run(
            ["pdftotext", str(target), "-"], capture_output=True, text=True, check=True
        ).stdout
        assert "GPU rental" in text
        assert "Net present cost" in text
