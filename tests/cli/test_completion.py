"""TAB in bash, zsh and fish, through the scripts that the documentation says to load."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from toystages import Shell

ASKED = [
    ("ifrkit pre", {"prepare", "predict"}),
    ("ifrkit artifacts li", {"lineage"}),
    ("ifrkit prepare city", {"cityscapes", "cityscapes-vps"}),
    ("ifrkit prepare folders --label-format label", {"label-studio", "labelme"}),
    ("ifrkit prepare folders --label-format au", {"auto"}),
    ("ifrkit train-branches --ssl ifr,fix", {"ifr,fixmatch"}),
    ("ifrkit train-branches --recipe tiny,came", set()),
    ("ifrkit train-branches --recipe camv", {"camvid"}),
    ("ifrkit train-fusion --arch d", {"dff", "davss"}),
    ("ifrkit train-fusion --arch t", {"tdnet"}),
    ("ifrkit train-branches --ssl ps", {"pseudoseg"}),
    ("ifrkit train-branches --ssl none,da", {"none,dars"}),
    ("ifrkit train-branches --recipe tiny,naive", {"tiny,naive-student"}),
    ("ifrkit eval --metric mi", {"miou"}),
    ("ifrkit eval --spl", {"--split"}),
    ("ifrkit eval --split v", {"val"}),
    ("ifrkit eval --from bran", {"branches"}),
    ("ifrkit train-branches --set sgd.lr", {"sgd.lr_backbone=", "sgd.lr_head="}),
    ("ifrkit train-branches --ssl ifr --set method.ifr.ramp", {"method.ifr.ramp_up="}),
    ("ifrkit prepare folders --set options.val", {"options.val_fraction="}),
]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    shell = Shell(tmp_path)
    (tmp_path / "videos").mkdir()
    (tmp_path / "street.mp4").touch()
    return shell


def asked(shell: Shell, line: str) -> set[str]:
    """What `ifrkit` answers bash for the last word of a line, without the kind of each answer."""
    words = line.split()
    env = f"COMP_WORDS='{line}' COMP_CWORD={len(words) - 1} _IFRKIT_COMPLETE=bash_complete"
    return {answer.partition(",")[2] for answer in shell.ok(f"{env} ifrkit").splitlines()}


def test_what_is_offered(shell: Shell) -> None:
    for line, wanted in ASKED:
        assert asked(shell, line) == wanted, line


def test_a_tab_runs_nobody_elses_command(shell: Shell) -> None:
    """`ifrkit NAME` becomes an `ifrkit-NAME` of the user, but not while a shell asks."""
    tool = shell.cwd / "bin/ifrkit-hello"
    tool.write_text("#!/bin/sh\ntouch ran\n")
    tool.chmod(0o755)
    assert asked(shell, "ifrkit hello wor") == set()
    assert not (shell.cwd / "ran").exists()
    shell.ok("ifrkit hello")
    assert (shell.cwd / "ran").exists()


def test_bash(shell: Shell) -> None:
    """The function that the script defines, called as bash does; files are left to bash."""
    load = 'eval "$(_IFRKIT_COMPLETE=bash_source ifrkit)"'
    call = 'COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _ifrkit_completion ifrkit; echo "${COMPREPLY[@]}"'
    assert shell.ok(f"{load}; COMP_WORDS=(ifrkit train-f); {call}").split() == ["train-flow", "train-fusion"]
    files = shell.ok(f"{load}; COMP_WORDS=(ifrkit predict st); {call}; complete -p ifrkit; compgen -f st")
    assert "street.mp4" in files
    assert "complete -o nosort -F _ifrkit_completion ifrkit" in files


@pytest.mark.skipif(not shutil.which("fish"), reason="no fish here")
def test_fish(shell: Shell) -> None:
    def complete(line: str) -> str:
        return shell.ok(f"fish --no-config -c '_IFRKIT_COMPLETE=fish_source ifrkit | source; complete -C \"{line}\"'")

    assert {line.partition("\t")[0] for line in complete("ifrkit pre").splitlines()} == {"prepare", "predict"}
    assert "street.mp4" in complete("ifrkit predict st")
    assert "sgd.lr_head=" in complete("ifrkit train-branches --set sgd.lr_h")


@pytest.mark.skipif(not shutil.which("zsh"), reason="no zsh here")
def test_zsh(shell: Shell) -> None:
    """Typed into a real zsh, since its completion lives in the line editor only."""
    ours, theirs = pty.openpty()
    env = {**shell.env, "TERM": "dumb", "ZDOTDIR": str(shell.cwd), "HOME": str(shell.cwd)}
    load = "autoload -Uz compinit; compinit -u; eval \"$(_IFRKIT_COMPLETE=zsh_source ifrkit)\"; PS1='> '\n"
    (shell.cwd / ".zshrc").write_text(load)
    zsh = subprocess.Popen(["zsh", "-i"], stdin=theirs, stdout=theirs, stderr=theirs, env=env, cwd=shell.cwd)
    os.close(theirs)
    try:
        for typed, wanted in ((b"ifrkit prep\t", "prepare "), (b"synt\t", "synthetic "), (b"--root vid\t", "videos/")):
            os.write(ours, typed)
            assert wanted in _read_until(ours, wanted), typed
    finally:
        zsh.kill()
        zsh.wait()
        os.close(ours)


def _read_until(terminal: int, wanted: str, seconds: float = 30) -> str:
    seen, end = "", time.monotonic() + seconds
    while wanted not in seen and time.monotonic() < end:
        if select.select([terminal], [], [], 0.2)[0]:
            part = os.read(terminal, 4096).decode(errors="replace")
            seen = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\x08", "", seen + part)
    return seen
