// Part of lines.wgsl: first indices, endpoints for given indices, the lone channel of modes 4 and 5.

// What four quantisers leave out at the low and at the high end, in steps of an index.
fn margins(group: u32) -> mat2x4<f32> {
    var ends = mat2x4<f32>();
    for (var i = 0u; i < 4u; i++) {
        let pair = bitcast<vec2<f32>>(tables[384u + 4u * group + i]);
        ends[0][i] = pair.x;
        ends[1][i] = pair.y;
    }
    return ends;
}

// Indices along each subset's axis, by the best of some uniform quantisers. A quantiser spans the
// projections but for its margins. The best is the one whose indices explain most of the projections'
// variance, endpoints fitted.
fn first_indices() {
    var places: array<f32, 16>; // 0 .. top: along the texel's axis, from the least to the greatest
    var counts = vec3<f32>(0.0);
    var means = vec3<f32>(0.0);
    for (var s = 0u; s < SUBSETS; s++) {
        let axis = principal_axis(s);
        var n = 0.0;
        var total = 0.0;
        var low = HUGE;
        var high = -HUGE;
        for (var t = 0u; t < 16u; t++) {
            let place = dot(axis, texel(t));
            n += select(0.0, 1.0, inside(t, s));
            total += select(0.0, place, inside(t, s));
            low = select(low, min(low, place), inside(t, s));
            high = select(high, max(high, place), inside(t, s));
            places[t] = select(places[t], place, inside(t, s));
        }
        let density = select(0.0, top / (high - low), high > low);
        for (var t = 0u; t < 16u; t++) {
            places[t] = select(places[t], (places[t] - low) * density, inside(t, s));
        }
        counts[s] = n;
        means[s] = (total / n - low) * density;
    }
    var most = vec3<f32>(-1.0);
    var scale = vec3<f32>(0.0);
    var shift = vec3<f32>(0.0);
    for (var group = 0u; group < QUANTISERS / 4u; group++) {
        let ends = margins(group);
        let scales = top / (top - ends[0] - ends[1]);
        let shifts = 0.5 - ends[0] * scales;
        var w1 = array<vec4<f32>, 3>();
        var w2 = array<vec4<f32>, 3>();
        var wp = array<vec4<f32>, 3>();
        for (var t = 0u; t < 16u; t++) {
            let w = clamp(floor(places[t] * scales + shifts), vec4<f32>(0.0), vec4<f32>(top));
            for (var s = 0u; s < SUBSETS; s++) {
                let v = select(vec4<f32>(0.0), w, inside(t, s));
                w1[s] += v;
                w2[s] += v * w;
                wp[s] += v * places[t];
            }
        }
        for (var s = 0u; s < SUBSETS; s++) {
            let covariance = wp[s] - w1[s] * means[s];
            let variance = max(w2[s] - w1[s] * w1[s] / counts[s], vec4<f32>(1.0e-6));
            let explained = covariance * covariance / variance;
            for (var i = 0u; i < 4u; i++) {
                let more = explained[i] > most[s];
                most[s] = select(most[s], explained[i], more);
                scale[s] = select(scale[s], scales[i], more);
                shift[s] = select(shift[s], shifts[i], more);
            }
        }
    }
    for (var t = 0u; t < 16u; t++) {
        var k = vec2<f32>(scale.x, shift.x);
        k = select(k, vec2<f32>(scale.y, shift.y), inside(t, 1u));
        k = select(k, vec2<f32>(scale.z, shift.z), inside(t, 2u));
        indices[t] = clamp(floor(places[t] * k.x + k.y), 0.0, top);
    }
}

// The axis of a subset's greatest scatter, towards more alpha; its length means nothing.
fn principal_axis(subset: u32) -> vec4<f32> {
    var n = 0.0;
    var sum = vec4<f32>(0.0);
    var m = mat4x4<f32>();
    for (var t = 0u; t < 16u; t++) {
        let x = select(vec4<f32>(0.0), texel(t), inside(t, subset));
        n += select(0.0, 1.0, inside(t, subset));
        sum += x;
        m[0] += x.r * x;
        m[1] += x.g * x;
        m[2] += x.b * x;
        m[3] += x.a * x;
    }
    m[0] = n * m[0] - sum.r * sum; // exact: integers below 2^24
    m[1] = n * m[1] - sum.g * sum;
    m[2] = n * m[2] - sum.b * sum;
    m[3] = n * m[3] - sum.a * sum;
    // Eight power iterations from the column of the channel that varies most.
    var axis = m[0];
    var largest = m[0].r;
    if m[1].g > largest {
        axis = m[1];
        largest = m[1].g;
    }
    if m[2].b > largest {
        axis = m[2];
        largest = m[2].b;
    }
    if m[3].a > largest {
        axis = m[3];
    }
    for (var i = 0; i < 8; i++) {
        let size = abs(axis);
        axis = m * (axis / max(max(max(size.r, size.g), max(size.b, size.a)), 1.0e-30));
    }
    return select(axis, -axis, axis.a < 0.0);
}

// Interpolation weight of an index, in 64ths.
fn weight_of(index: vec4<f32>) -> vec4<f32> {
    return floor(index * (64.0 / top) + 0.5);
}

// Fits the lone channel by itself: `lone_indices`; returns its two codes and its squared error.
// Tries pairs of endpoints, in from the extremes by the margins; alpha 0 and 255 are held.
fn fit_lone() -> vec3<f32> {
    let lone_top = f32(max(1u << LONE_INDEX_BITS, 2u) - 1u);
    let full = f32((1u << u32(LONE_BITS)) - 1u);
    let scale = full / 255.0;
    var low = 255.0;
    var high = 0.0;
    for (var t = 0u; t < 16u; t++) {
        low = min(low, lone_channel(t));
        high = max(high, lone_channel(t));
    }
    let step = (high - low) / lone_top;
    let low_step = select(step, 0.0, rotation == 0u && low == 0.0);
    let high_step = select(step, 0.0, rotation == 0u && high == 255.0);
    var least = HUGE;
    var code = vec2<f32>(0.0);
    for (var group = 0u; group < QUANTISERS / 4u; group++) {
        let ends = margins(group);
        var q0 = floor((low + ends[0] * low_step) * scale + 0.5);
        var q1 = floor((high - ends[1] * high_step) * scale + 0.5);
        if low == high { // both sides of a value that has no code
            q0 = vec4<f32>(floor(low * scale));
            q1 = vec4<f32>(ceil(high * scale));
        }
        q0 = clamp(q0, vec4<f32>(0.0), vec4<f32>(full));
        q1 = clamp(q1, vec4<f32>(0.0), vec4<f32>(full));
        let start = widened(q0, LONE_BITS);
        let span = widened(q1, LONE_BITS) - start;
        let density = select(vec4<f32>(0.0), lone_top / span, span > vec4<f32>(0.0));
        var error = vec4<f32>(0.0);
        for (var t = 0u; t < 16u; t++) {
            let v = lone_channel(t);
            let index = clamp(floor((v - start) * density + 0.5), vec4<f32>(0.0), vec4<f32>(lone_top));
            let w = floor(index * (64.0 / lone_top) + 0.5) / 64.0;
            let miss = v - floor(start + w * span + 0.5);
            error += miss * miss;
        }
        for (var i = 0u; i < 4u; i++) {
            let less = error[i] < least;
            least = select(least, error[i], less);
            code = select(code, vec2<f32>(q0[i], q1[i]), less);
        }
    }
    let start = widened(vec4<f32>(code.x), LONE_BITS).x;
    let span = widened(vec4<f32>(code.y), LONE_BITS).x - start;
    let density = select(0.0, lone_top / span, span > 0.0);
    for (var t = 0u; t < 16u; t++) {
        let index = floor((lone_channel(t) - start) * density + 0.5);
        lone_indices[t] = clamp(index, 0.0, lone_top);
    }
    return vec3<f32>(code, least);
}

// Opaque alpha, exactly, in the lone channel's place on the line, and the lone channel's own codes.
fn with_lone(line: Line, codes: vec2<f32>) -> Line {
    let full = vec3<f32>(f32((1u << u32(BITS)) - 1u));
    return Line(
        vec4<f32>(select(line.low.rgb, full, is_lone()), codes.x),
        vec4<f32>(select(line.high.rgb, full, is_lone()), codes.y)
    );
}

// Least-squares endpoints of a subset for its indices, then the best codes near them. Of the first
// endpoint's codes the two around the optimum are tried, with each the second's best; for all p-bits.
// Compared is the square error that the indices give, without the decoder's rounding.
fn fit(subset: u32) -> Line {
    var n = vec4<f32>(0.0);
    var w1 = vec4<f32>(0.0);
    var w2 = vec4<f32>(0.0);
    var x1 = vec4<f32>(0.0);
    var wx = vec4<f32>(0.0);
    var held = vec2<f32>(255.0, 0.0); // least and greatest alpha
    for (var t = 0u; t < 16u; t++) {
        let x = texel(t);
        let m = select(vec4<f32>(0.0), vec4<f32>(vec3<f32>(visible[t]), 1.0), inside(t, subset));
        let w = m * weight_of(vec4<f32>(indices[t]));
        n += m;
        w1 += w;
        w2 += w * w;
        x1 += m * x;
        wx += w * x;
        held.x = select(held.x, min(held.x, x.a), inside(t, subset));
        held.y = select(held.y, max(held.y, x.a), inside(t, subset));
    }
    // Alpha 0 and 255 are to come back exactly.
    held = select(vec2<f32>(FREE), held, (held == vec2<f32>(0.0)) | (held == vec2<f32>(255.0)));
    // As regression on the weights, in 64ths: the sums are exact.
    let determinant = n * w2 - w1 * w1;
    let flat = determinant <= vec4<f32>(0.0);
    let rise = select((n * wx - w1 * x1) / determinant, vec4<f32>(0.0), flat);
    let first = (x1 - rise * w1) / max(n, vec4<f32>(1.0));
    let second = first + 64.0 * rise;
    // The error of moving the endpoints by d0, d1: a d0^2 + b d0 d1 + c d1^2.
    let ww = w2 / 4096.0;
    let uw = w1 / 64.0 - ww;
    let a = select(n - w1 / 32.0 + ww, n, flat);
    let b = select(2.0 * uw, vec4<f32>(0.0), flat);
    let c = select(ww, n, flat);
    let slope = select(uw / ww, vec4<f32>(0.0), flat);

    let limit = f32((1u << u32(BITS)) - 1u);
    let stride = select(2.0, 1.0, PBITS == 0u);
    let scale = limit / 255.0;
    let start = clamp(first, vec4<f32>(0.0), vec4<f32>(255.0));
    var best = Line();
    var least = HUGE;
    for (var pair = 0u; pair < 1u << PBITS; pair++) {
        let p0 = f32(pair & 1u);
        let p1 = select(p0, f32(pair >> 1u), PBITS == 2u);
        var line = Line();
        var costs = vec4<f32>(HUGE);
        for (var up = 0; up < 2; up++) {
            var q0 = floor((start * scale - p0) / stride) + f32(up);
            q0 = clamp(q0 * stride + p0, vec4<f32>(p0), vec4<f32>(limit + 1.0 - stride + p0));
            var q1 = ((second - slope * (widen(q0) - first)) * scale - p1) / stride;
            q1 = floor(q1 + 0.5) * stride + p1;
            q1 = clamp(q1, vec4<f32>(p1), vec4<f32>(limit + 1.0 - stride + p1));
            if held.x != FREE {
                q0.a = select(limit, 0.0, held.x == 0.0);
            }
            if held.y != FREE {
                q1.a = select(limit, 0.0, held.y == 0.0);
            }
            let d0 = widen(q0) - first;
            let d1 = widen(q1) - second;
            let cost = d0 * (a * d0 + b * d1) + c * d1 * d1;
            let less = cost < costs;
            costs = select(costs, cost, less);
            line.low = select(line.low, q0, less);
            line.high = select(line.high, q1, less);
        }
        if CHANNELS == 3u {
            costs.a = 0.0;
        } else if line.low.a % 2.0 != p0 || line.high.a % 2.0 != p1 {
            costs.a = 1.0e20; // a held alpha that these p-bits cannot give
        }
        let cost = costs.r + costs.g + costs.b + costs.a;
        if cost < least {
            least = cost;
            best = line;
        }
    }
    return best;
}

// The decoder's 8-bit value of a code: its top bits repeated below.
fn widen(code: vec4<f32>) -> vec4<f32> {
    return widened(code, BITS);
}

fn widened(code: vec4<f32>, bits: i32) -> vec4<f32> {
    return ldexp(code, vec4<i32>(8 - bits)) + floor(ldexp(code, vec4<i32>(8 - 2 * bits)));
}
