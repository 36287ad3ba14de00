"""Several ranks make one artifact: the first reads the pipe, commits and prints; the others work in its directory."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from torch.distributed import TCPStore
from toystages import Shell

from ifrkit.core.errors import ConfigError
from ifrkit.stages.ranks import Ranks


def _start(shell: Shell, rank: int, port: int, attempt: int) -> subprocess.Popen[bytes]:
    place = {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torchrun = {"TORCHELASTIC_RUN_ID": "test", "TORCHELASTIC_RESTART_COUNT": str(attempt)}
    pipe = subprocess.PIPE
    command = ["ifrkit-toy-train", "--device", "cpu"]
    env = {**shell.env, **place, **torchrun}
    return subprocess.Popen(command, cwd=shell.cwd, env=env, stdin=pipe, stdout=pipe, stderr=pipe)


def test_two_ranks_make_one_artifact(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    clips = shell.source()
    agent = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # what torchrun keeps
    for attempt in range(2):
        ranks = [_start(shell, rank, agent.port, attempt) for rank in range(2)]
        out, err = ranks[0].communicate(f"{clips}\n".encode(), timeout=180)
        other_out, other_err = ranks[1].communicate(timeout=180)  # its standard input brought nothing
        assert [r.returncode for r in ranks] == [0, 0], (err, other_err)
        made = Path(out.decode().strip())
        assert made.parent == shell.workspace / "branches"
        assert other_out == b""
        assert (made / "rank.txt").read_text() == "1"
        assert (b"up to date" in err) == (attempt == 1)
    assert [p.name for p in made.parent.iterdir()] == [made.name]


def test_ranks_without_torchrun_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    with pytest.raises(ConfigError, match="torchrun"):
        Ranks.from_environment()
