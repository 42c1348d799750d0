"""The entry point: quick to help, honest in its exit codes, quiet when nobody listens."""

import errno
import subprocess
import sys
from importlib import metadata

import click
import pytest
from click.testing import CliRunner

import weighbridge as package
from weighbridge.cli import COMMANDS, Entry, LazyGroup, weighbridge
from weighbridge.units import InputError, TooManyRejectsError

HEAVY = ("numpy", "duckdb", "ibis", "altair", "scipy", "rich", "genai_prices", "pyarrow", "yaml")


class FailingGroup(LazyGroup):
    """A group whose one command raises what it is told to."""

    error: BaseException

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        @click.command(cmd_name)
        def fail() -> None:
            raise self.error

        return fail


def _failing(error: BaseException) -> LazyGroup:
    group = FailingGroup("house")
    group.error = error
    return group


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from weighbridge.cli import weighbridge\n"
        "weighbridge.main(['--help'], standalone_mode=False)\n"
        f"print('HEAVY', sorted(set(sys.modules) & set({HEAVY!r})))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=20
    )
    assert done.stdout.rstrip().endswith("HEAVY []")


def test_help_lists_every_command_with_its_line() -> None:
    text = CliRunner().invoke(weighbridge, ["--help"]).output
    for name, entry in COMMANDS.items():
        assert f"  {name}" in text
        assert entry.short_help.split()[0] in text


def test_importing_the_package_loads_no_room() -> None:
    code = (
        "import sys, weighbridge; print([m for m in sys.modules if m.startswith('weighbridge.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['weighbridge.version']"


def test_version_is_the_installed_one() -> None:
    result = CliRunner().invoke(weighbridge, ["--version"])
    assert result.exit_code == 0
    assert result.output == f"weighbridge {package.__version__}\n"
    assert package.__version__ == metadata.version("weighbridge")


def test_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = package.nonsense


def test_unknown_command_exits_two() -> None:
    result = CliRunner().invoke(weighbridge, ["decid"])
    assert result.exit_code == 2
    assert "decid" in result.stderr


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (InputError("a.yaml", "model", "is missing", "name one"), 2),
        (TooManyRejectsError("12 of 100 rows rejected"), 3),
    ],
)
def test_fault_is_told_on_stderr_with_its_exit_code(error: Exception, exit_code: int) -> None:
    result = CliRunner().invoke(_failing(error), ["fail"])
    assert result.exit_code == exit_code
    assert result.stderr == f"error: {error}\n"
    assert result.stdout == ""


def test_interrupt_exits_as_shells_expect() -> None:
    result = CliRunner().invoke(_failing(KeyboardInterrupt()), ["fail"])
    assert result.exit_code == 130


def test_broken_pipe_is_quiet() -> None:
    result = CliRunner().invoke(_failing(OSError(errno.EPIPE, "Broken pipe")), ["fail"])
    assert result.exit_code == 1
    assert result.output == ""


def test_a_bug_is_not_dressed_up_as_a_fault() -> None:
    result = CliRunner().invoke(_failing(ZeroDivisionError()), ["fail"])
    assert isinstance(result.exception, ZeroDivisionError)


def test_entry_that_is_no_command_is_refused() -> None:
    group = LazyGroup("house", entries={"x": Entry("weighbridge.units:unit_of", "No command.")})
    result = CliRunner().invoke(group, ["x"])
    assert isinstance(result.exception, TypeError)
