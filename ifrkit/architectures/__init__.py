"""Video architectures, one file each: how branches, flow and fusion make a clip prediction."""
