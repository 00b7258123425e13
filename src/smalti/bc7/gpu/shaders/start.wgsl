// The first kernel: finishes blocks of one colour, and puts modes 5 and 4 on the list of those with
// alpha, which those modes hold exactly whatever the colours.

override KINDS: u32 = 3u; // mode 5; with 3, mode 4 with either selection too

@compute @workgroup_size(64)
fn encode(@builtin(global_invocation_id) id: vec3<u32>) {
    let block = id.x;
    if block >= strip.count {
        return;
    }
    load_block(block);
    trials[block * SLOTS] = NOTHING;
    errors[block] = 0.0;
    if greatest_alpha == 0.0 {
        blocks[block] = vec4<u32>(64u, 0u, 0u, 0u); // mode 6, all the rest zero
        return;
    }
    if is_solid() {
        blocks[block] = solid(texels[0]);
        return;
    }
    errors[block] = HUGE;
    if least_alpha < 255.0 {
        for (var kind = 0u; kind < KINDS; kind++) {
            trials[block * SLOTS + kind] = trial(0.0, kind, 0u);
        }
        if KINDS < SLOTS {
            trials[block * SLOTS + KINDS] = NOTHING;
        }
    }
}

fn is_solid() -> bool {
    var same = true;
    for (var t = 1u; t < 16u; t++) {
        same = same && all(texels[t] == texels[0]);
    }
    return same;
}

// Mode 5, every texel at step 1 of 3.
fn solid(colour: vec4<f32>) -> vec4<u32> {
    var words = vec4<u32>(32u, 0u, 0u, 0u);
    for (var c = 0u; c < 3u; c++) {
        let codes = tables[128u + u32(colour[c])];
        put(&words, 8u + 14u * c, 7u, codes.x);
        put(&words, 15u + 14u * c, 7u, codes.y);
    }
    put(&words, 50u, 8u, u32(colour.a));
    put(&words, 58u, 8u, u32(colour.a));
    put(&words, 66u, 1u, 1u);
    for (var t = 1u; t < 16u; t++) {
        put(&words, 65u + 2u * t, 2u, 1u);
    }
    return words;
}
