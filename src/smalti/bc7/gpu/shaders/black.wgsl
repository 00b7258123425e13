// An opaque block with pure black, which the odd values of mode 6 miss: one trial of mode 5.

@compute @workgroup_size(64)
fn encode(@builtin(global_invocation_id) id: vec3<u32>) {
    let block = id.x;
    if block >= strip.count {
        return;
    }
    trials[block * SLOTS] = NOTHING;
    load_block(block);
    if least_alpha < 255.0 || errors[block] <= 0.0 {
        return;
    }
    var black = false;
    for (var t = 0u; t < 16u; t++) {
        black = black || max(max(texels[t].r, texels[t].g), texels[t].b) == 0.0;
    }
    if black {
        trials[block * SLOTS] = trial(0.0, 0u, 0u);
        if SLOTS > 1u {
            trials[block * SLOTS + 1u] = NOTHING;
        }
    }
}
