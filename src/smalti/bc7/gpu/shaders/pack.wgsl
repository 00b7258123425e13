// Part of lines.wgsl: from codes and indices to the block (see smalti/bc7/layout.py).

fn pack(choice: u32, found: array<Line, 3>) -> vec4<u32> {
    var anchors = 0u; // texel of subsets 0, 1, 2
    if SUBSETS > 1u {
        anchors = tables[64u * (SUBSETS - 2u) + choice].y;
    }
    // An anchor's index has no top bit: turn its subset's line round where it is set.
    var lines = found;
    var turned = 0u;
    for (var s = 0u; s < SUBSETS; s++) {
        if indices[(anchors >> (8u * s)) & 255u] > 0.5 * top {
            turned |= 1u << s;
            lines[s] = Line(lines[s].high, lines[s].low);
        }
    }
    var words = vec4<u32>(1u << MODE, 0u, 0u, 0u);
    var at = MODE + 1u;
    if LONE_INDEX_BITS == 0u {
        put(&words, at, PARTITION_BITS, choice);
        at += PARTITION_BITS;
    } else {
        put(&words, at, 2u, rotation);
        at += 2u;
    }
    if MODE == 4u {
        put(&words, at, 1u, SELECTION);
        at++;
    }
    let own = min(PBITS, 1u); // lowest bits of a code that are no bits of the channel
    let bits = u32(BITS) - own;
    for (var c = 0u; c < CHANNELS; c++) {
        for (var s = 0u; s < SUBSETS; s++) {
            put(&words, at, bits, u32(lines[s].low[c]) >> own);
            put(&words, at + bits, bits, u32(lines[s].high[c]) >> own);
            at += 2u * bits;
        }
    }
    for (var s = 0u; s < SUBSETS && PBITS > 0u; s++) {
        put(&words, at, 1u, u32(lines[s].low.r) & 1u);
        if PBITS == 2u {
            put(&words, at + 1u, 1u, u32(lines[s].high.r) & 1u);
        }
        at += PBITS;
    }
    if LONE_INDEX_BITS > 0u {
        let lone_turned = lone_indices[0] > 0.5 * f32(max(1u << LONE_INDEX_BITS, 2u) - 1u);
        let ends = select(vec2<f32>(found[0].low.a, found[0].high.a),
            vec2<f32>(found[0].high.a, found[0].low.a), lone_turned);
        put(&words, at, u32(LONE_BITS), u32(ends.x));
        put(&words, at + u32(LONE_BITS), u32(LONE_BITS), u32(ends.y));
        at += 2u * u32(LONE_BITS);
        // The lone channel's set of indices is the first where it is the smaller.
        let lone_at = at + select(16u * INDEX_BITS - 1u, 0u, SELECTION == 1u);
        put_lone_indices(&words, lone_at, lone_turned);
        at += select(0u, 16u * LONE_INDEX_BITS - 1u, SELECTION == 1u);
    }
    for (var t = 0u; t < 16u; t++) {
        let s = (subsets >> (2u * t)) & 3u;
        let index = select(indices[t], top - indices[t], ((turned >> s) & 1u) == 1u);
        put(&words, at, INDEX_BITS, u32(index));
        at += INDEX_BITS - select(0u, 1u, ((anchors >> (8u * s)) & 255u) == t);
    }
    return words;
}

fn put_lone_indices(words: ptr<function, vec4<u32>>, start: u32, turned: bool) {
    let lone_top = f32(max(1u << LONE_INDEX_BITS, 2u) - 1u);
    var at = start;
    for (var t = 0u; t < 16u; t++) {
        let index = select(lone_indices[t], lone_top - lone_indices[t], turned);
        put(words, at, LONE_INDEX_BITS, u32(index));
        at += LONE_INDEX_BITS - select(0u, 1u, t == 0u);
    }
}
