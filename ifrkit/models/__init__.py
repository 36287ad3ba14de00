"""Networks: backbones, heads, flow, the one warp, and weight import."""
