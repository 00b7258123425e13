// Modes 5 and 4 for an opaque block: which channel is worth indices of its own. Rotation 0: none,
// alpha has them; r: channel r - 1, and opaque alpha is on the line in its place.

override OFF_4: f32 = 1.0; // see rank.wgsl
override OFF_5: f32 = 1.0;
override ALONG_4: f32 = 0.0;
override ALONG_5: f32 = 0.0;
override BASE_4: f32 = 0.0;
override BASE_5: f32 = 0.0;
override STEPS_4: f32 = 0.0; // share of a square sum that 4 steps leave
override STEPS_8: f32 = 0.0;
override SMOOTH: f32 = 0.0; // error of a block below which BASE_4 and BASE_5 are these
override SMOOTH_4: f32 = 0.0;
override SMOOTH_5: f32 = 0.0;
override APART: u32 = 1u; // trials, at most SLOTS: the most promising

@compute @workgroup_size(64)
fn encode(@builtin(global_invocation_id) id: vec3<u32>) {
    let block = id.x;
    if block >= strip.count {
        return;
    }
    trials[block * SLOTS] = NOTHING;
    let limit = errors[block];
    if limit <= ENOUGH {
        return;
    }
    load_block(block);
    if least_alpha < 255.0 {
        return;
    }
    let base_4 = select(BASE_4, SMOOTH_4, limit < SMOOTH);
    let base_5 = select(BASE_5, SMOOTH_5, limit < SMOOTH);
    var listed: array<u32, 10>; // the least expected error first
    var count = 0u;
    for (var r = 0u; r < 4u; r++) {
        let on_line = vec3<bool>(r != 1u, r != 2u, r != 3u);
        var m = moments(0u, 0u);
        let lone_sum = select(m.sum, vec3<f32>(0.0), on_line);
        let lone = dot(select(m.squares, vec3<f32>(0.0), on_line), vec3<f32>(1.0))
            - dot(lone_sum, lone_sum) / 16.0;
        // What is constant has no moments: as good as opaque alpha in the lone channel's place.
        m.sum = select(vec3<f32>(0.0), m.sum, on_line);
        m.squares = select(vec3<f32>(0.0), m.squares, on_line);
        m.products = select(vec3<f32>(0.0), m.products, on_line.xxy & on_line.yzz);
        let left = split_scatter(m);
        let errors = vec3<f32>(
            OFF_5 * left.x + ALONG_5 * left.y + base_5 + STEPS_4 * lone,
            OFF_4 * left.x + ALONG_4 * left.y + base_4 + STEPS_8 * lone,
            OFF_4 * left.x + STEPS_8 * left.y + base_4 + STEPS_4 * lone
        );
        for (var kind = 0u; kind < select(3u, 1u, r == 0u); kind++) {
            var entry = trial(errors[kind], kind, r);
            for (var i = 0u; i < count; i++) {
                let other = listed[i];
                listed[i] = min(other, entry); // floats above 0 are in the order of their bits
                entry = max(other, entry);
            }
            listed[count] = entry;
            count++;
        }
    }
    count = min(count, APART);
    for (var i = 0u; i < count; i++) {
        trials[block * SLOTS + i] = listed[i];
    }
    if count < SLOTS {
        trials[block * SLOTS + count] = NOTHING;
    }
}
