// One texel of a neural texture: all channels of all maps, in [0, 1].
//
//     let texel = smalti_decode(vec2<i32>(x, y), mip);
//
// Bind grids.bin and weights.bin as they are. The constants above are this material's. A filtered
// sample is a blend of texels, or one texel drawn at random from the filter.

@group(0) @binding(0) var<storage, read> smalti_grids: array<u32>;
@group(0) @binding(1) var<storage, read> smalti_weights: array<u32>;

fn smalti_weight(index: i32) -> f32 {
    let pair = unpack2x16float(smalti_weights[index >> 1u]);
    return select(pair.x, pair.y, (index & 1) == 1);
}

fn smalti_inside(index: i32, count: i32) -> i32 {
    if SMALTI_REPEAT == 1 {
        return (index + count) % count;
    }
    return clamp(index, 0, count - 1);
}

fn smalti_node(base: i32, index: i32, bits: i32) -> f32 {
    let bit = index * bits;
    let word = base + (bit >> 5u);
    let shift = u32(bit & 31);
    var value = smalti_grids[word] >> shift;
    if shift + u32(bits) > 32u {
        value |= smalti_grids[word + 1] << (32u - shift);
    }
    let top = (1u << u32(bits)) - 1u;
    return f32(value & top) / f32(top) - 0.5;
}

fn smalti_hgelu(z: f32) -> f32 {
    return z * clamp(z * (1.0 / 3.0) + 0.5, 0.0, 1.0);
}

fn smalti_decode(texel: vec2<i32>, mip: i32) -> array<f32, SMALTI_CHANNELS> {
    var x: array<f32, SMALTI_INPUTS>;
    var first = 0;
    for (var grid = 0; grid < 2; grid++) {
        let row = (mip / 2) * 6 + grid * 3;
        let base = i32(smalti_grids[row]);
        let rows = i32(smalti_grids[row + 1]);
        let columns = i32(smalti_grids[row + 2]);
        let channels = select(SMALTI_FINE_CHANNELS, SMALTI_COARSE_CHANNELS, grid == 1);
        let bits = select(SMALTI_FINE_BITS, SMALTI_COARSE_BITS, grid == 1);
        let scale = select(SMALTI_FINE_SCALE, SMALTI_COARSE_SCALE, grid == 1);
        let at = (vec2<f32>(texel) + 0.5) * f32(1 + (mip & 1)) / f32(scale) - 0.5;
        let lower = vec2<i32>(floor(at));
        let weight = at - floor(at);
        let top = smalti_inside(lower.y, rows) * columns;
        let bottom = smalti_inside(lower.y + 1, rows) * columns;
        let left = smalti_inside(lower.x, columns);
        let right = smalti_inside(lower.x + 1, columns);
        for (var c = 0; c < channels; c++) {
            let a = smalti_node(base, (top + left) * channels + c, bits);
            let b = smalti_node(base, (top + right) * channels + c, bits);
            let d = smalti_node(base, (bottom + left) * channels + c, bits);
            let e = smalti_node(base, (bottom + right) * channels + c, bits);
            x[first + c] = mix(mix(a, b, weight.x), mix(d, e, weight.x), weight.y);
        }
        first += channels;
    }
    if (mip & 1) == 0 {
        let phase = vec2<f32>(texel & vec2<i32>(1, 1)) - 0.5;
        x[first] = phase.x;
        x[first + 1] = phase.y;
        x[first + 2] = 2.0 * phase.x * phase.y;
    }
    var h: array<f32, SMALTI_HIDDEN_1>;
    var k = 0;
    for (var o = 0; o < SMALTI_HIDDEN_1; o++) {
        var sum = smalti_weight(SMALTI_HIDDEN_1 * SMALTI_INPUTS + o);
        for (var i = 0; i < SMALTI_INPUTS; i++) {
            sum += smalti_weight(k) * x[i];
            k++;
        }
        h[o] = smalti_hgelu(sum);
    }
    k += SMALTI_HIDDEN_1;
    var g: array<f32, SMALTI_HIDDEN_2>;
    let bias_2 = k + SMALTI_HIDDEN_2 * SMALTI_HIDDEN_1;
    for (var o = 0; o < SMALTI_HIDDEN_2; o++) {
        var sum = smalti_weight(bias_2 + o);
        for (var i = 0; i < SMALTI_HIDDEN_1; i++) {
            sum += smalti_weight(k) * h[i];
            k++;
        }
        g[o] = smalti_hgelu(sum);
    }
    k += SMALTI_HIDDEN_2;
    var y: array<f32, SMALTI_CHANNELS>;
    let bias_3 = k + SMALTI_CHANNELS * SMALTI_HIDDEN_2;
    for (var o = 0; o < SMALTI_CHANNELS; o++) {
        var sum = smalti_weight(bias_3 + o);
        for (var i = 0; i < SMALTI_HIDDEN_2; i++) {
            sum += smalti_weight(k) * g[i];
            k++;
        }
        y[o] = clamp(sum, 0.0, 1.0);
    }
    return y;
}
