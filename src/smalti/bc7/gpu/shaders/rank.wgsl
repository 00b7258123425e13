// Which partitions are worth a trial: the error of the best lines, from moments alone. See
// smalti/bc7/reference/steps.py.

override TRIALS: u32 = 1u; // at most SLOTS
override SUBSETS: u32 = 2u;
// Of kind 0, kind 1 (opaque blocks), and kind 2 (mode 7, the others): how many partitions it has,
// and its error: a share of what is off its lines, a share of what is along them, a constant.
override COUNT_0: u32 = 64u;
override COUNT_1: u32 = 64u;
override OFF_0: f32 = 1.0;
override OFF_1: f32 = 1.0;
override OFF_2: f32 = 1.0;
override ALONG_0: f32 = 0.0;
override ALONG_1: f32 = 0.0;
override ALONG_2: f32 = 0.0;
override BASE_0: f32 = 0.0;
override BASE_1: f32 = 0.0;
override BASE_2: f32 = 0.0;

@compute @workgroup_size(64)
fn encode(@builtin(global_invocation_id) id: vec3<u32>) {
    let block = id.x;
    if block >= strip.count {
        return;
    }
    trials[block * SLOTS] = NOTHING;
    if errors[block] == 0.0 {
        return;
    }
    load_block(block);
    let opaque = least_alpha == 255.0;
    if (opaque && errors[block] <= ENOUGH) || (!opaque && SUBSETS == 3u) {
        return;
    }
    var least: array<u32, 8>; // TRIALS of them
    for (var i = 0u; i < TRIALS; i++) {
        least[i] = NOTHING;
    }
    let whole = moments(0u, 0u);
    for (var p = 0u; p < 64u; p++) {
        let pattern = tables[64u * (SUBSETS - 2u) + p].x;
        let first = moments(pattern, 1u);
        var rest = minus(whole, first);
        var error = split_scatter(first);
        if SUBSETS == 3u {
            let second = moments(pattern, 2u);
            rest = minus(rest, second);
            error += split_scatter(second);
        }
        error += split_scatter(rest);
        var pair = vec2<u32>(NOTHING); // one trial of either kind
        if opaque {
            if p < COUNT_0 {
                pair.x = trial(OFF_0 * error.x + ALONG_0 * error.y + BASE_0, 0u, p);
            }
            if p < COUNT_1 {
                pair.y = trial(OFF_1 * error.x + ALONG_1 * error.y + BASE_1, 1u, p);
            }
        } else {
            let along = error.y + alpha_scatter(pattern);
            pair.x = trial(OFF_2 * error.x + ALONG_2 * along + BASE_2, 2u, p);
        }
        for (var i = 0u; i < TRIALS; i++) {
            let kept = least[i];
            least[i] = min(kept, pair.x);
            pair.x = max(kept, pair.x);
        }
        for (var i = 0u; i < TRIALS; i++) {
            let kept = least[i];
            least[i] = min(kept, pair.y);
            pair.y = max(kept, pair.y);
        }
    }
    for (var i = 0u; i < TRIALS; i++) {
        trials[block * SLOTS + i] = least[i];
    }
    if TRIALS < SLOTS {
        trials[block * SLOTS + TRIALS] = NOTHING;
    }
}

fn minus(a: Moments, b: Moments) -> Moments {
    return Moments(a.n - b.n, a.sum - b.sum, a.squares - b.squares, a.products - b.products);
}

// Square sum of alpha about its mean in each of two subsets, both together.
fn alpha_scatter(pattern: u32) -> f32 {
    var n = vec2<f32>(0.0);
    var sum = vec2<f32>(0.0);
    var squares = 0.0;
    for (var t = 0u; t < 16u; t++) {
        let a = texels[t].a;
        let first = ((pattern >> (2u * t)) & 3u) == 1u;
        let m = select(vec2<f32>(1.0, 0.0), vec2<f32>(0.0, 1.0), first);
        n += m;
        sum += m * a;
        squares += a * a;
    }
    let lost = sum * sum / max(n, vec2<f32>(1.0));
    return squares - lost.x - lost.y;
}
