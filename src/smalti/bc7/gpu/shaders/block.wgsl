// What every kernel shares: the buffers, a block's texels, and the moments of their colours.
//
// One thread works on one block. Most numbers are float32 that hold integers, exact below 2^24.

struct Strip {
    width: u32, // texels
    height: u32,
    columns: u32, // blocks
    count: u32,
}

@group(0) @binding(0) var<uniform> strip: Strip;
@group(0) @binding(1) var<storage, read> picture: array<u32>; // R lowest, A highest
@group(0) @binding(2) var<storage, read_write> errors: array<f32>; // of the best block so far
@group(0) @binding(3) var<storage, read_write> blocks: array<vec4<u32>>;
// What is to be tried for each block: SLOTS numbers, each the float of the error to expect with
// "kind, choice" in its lowest 8 bits. NOTHING where there is no more.
@group(0) @binding(4) var<storage, read_write> trials: array<u32>;
// 64 partitions of two subsets, 64 of three: x: each texel's subset, 2 bits; y: each subset's anchor
// texel, 8 bits. Then 256 pairs of 7-bit codes between which step 1 of 3 is just that value. Then, in
// lines.wgsl, the margins of quantisers, as floats.
@group(0) @binding(5) var<storage, read> tables: array<vec2<u32>>;

override SLOTS: u32 = 1u; // numbers of `trials` a block
override ENOUGH: f32 = 0.0; // error of a block at which its search ends
override HOPE: f32 = 1.0; // a trial is made where this share of its expected error is below the best

const NOTHING = 0x7f7fffffu; // as a float: no hope at all
const KIND = 6u; // where the kind begins; below it: partition, or rotation

const HUGE = 1.0e30; // over every number here

var<private> texels: array<vec4<f32>, 16>; // 0 .. 255; hidden ones have the visible ones' mean
var<private> visible: array<f32, 16>; // 1 where alpha > 0, else 0: weight of the colour error
var<private> least_alpha: f32;
var<private> greatest_alpha: f32;

fn load_block(block: u32) {
    let row = block / strip.columns;
    let column = block % strip.columns;
    var total = vec3<f32>(0.0);
    var count = 0.0;
    least_alpha = 255.0;
    greatest_alpha = 0.0;
    for (var t = 0u; t < 16u; t++) {
        // Edge texels are repeated where a side is no multiple of 4.
        let y = min(4u * row + t / 4u, strip.height - 1u);
        let x = min(4u * column + t % 4u, strip.width - 1u);
        let rgba = picture[y * strip.width + x];
        let texel = vec4<f32>(
            f32(rgba & 255u), f32((rgba >> 8u) & 255u), f32((rgba >> 16u) & 255u), f32(rgba >> 24u)
        );
        let seen = select(0.0, 1.0, texel.a > 0.0);
        texels[t] = texel;
        visible[t] = seen;
        total += seen * texel.rgb;
        count += seen;
        least_alpha = min(least_alpha, texel.a);
        greatest_alpha = max(greatest_alpha, texel.a);
    }
    if least_alpha > 0.0 || greatest_alpha == 0.0 {
        return;
    }
    let mean = floor((total + floor(0.5 * count)) / count);
    for (var t = 0u; t < 16u; t++) {
        texels[t] = vec4<f32>(mix(mean, texels[t].rgb, visible[t]), texels[t].a);
    }
}

// Weight of a texel's alpha error: no gain in colour pays for opaque or hidden ones.
fn opacity(alpha: f32) -> f32 {
    return select(1.0, 65536.0, alpha == 0.0 || alpha == 255.0);
}

// Sums over a subset's texels.
struct Moments {
    n: f32,
    sum: vec3<f32>,
    squares: vec3<f32>, // rr, gg, bb
    products: vec3<f32>, // rg, rb, gb
}

// A symmetric matrix.
struct Scatter {
    diagonal: vec3<f32>,
    beside: vec3<f32>, // rg, rb, gb
}

// Of the texels that `pattern`, 2 bits a texel, has in `subset`.
fn moments(pattern: u32, subset: u32) -> Moments {
    var m = Moments();
    for (var t = 0u; t < 16u; t++) {
        let inside = select(0.0, 1.0, ((pattern >> (2u * t)) & 3u) == subset);
        let x = texels[t].rgb;
        let y = inside * x;
        m.n += inside;
        m.sum += y;
        m.squares += y * x;
        m.products += y.xxy * x.yzz;
    }
    return m;
}

// n times the products about the mean; exact.
fn scatter(m: Moments) -> Scatter {
    return Scatter(m.n * m.squares - m.sum * m.sum, m.n * m.products - m.sum.xxy * m.sum.yzz);
}

fn scaled(m: Scatter, scale: f32) -> Scatter {
    return Scatter(m.diagonal * scale, m.beside * scale);
}

fn squared(m: Scatter) -> Scatter {
    let d = m.diagonal;
    let o = m.beside;
    return Scatter(
        d * d + o.xxy * o.xxy + o.yzz * o.yzz,
        o * (d.xxy + d.yzz) + o.yxx * o.zzy
    );
}

// What a subset leaves off its best line, and the square sum along it. The largest eigenvalue is the
// eighth root of tr A^8, at most 1.09 times too large and exact for one line: A is squared twice, and
// tr A^8 is the sum of A^4's squares.
fn split_scatter(m: Moments) -> vec2<f32> {
    var a = scatter(m);
    let trace = a.diagonal.x + a.diagonal.y + a.diagonal.z;
    a = squared(squared(scaled(a, 1.0 / (trace + 1.0))));
    let power = dot(a.diagonal, a.diagonal) + 2.0 * dot(a.beside, a.beside);
    let largest = sqrt(sqrt(sqrt(power))) * (trace + 1.0);
    return vec2<f32>(max(trace - largest, 0.0), largest) / max(m.n, 1.0);
}

// A number of `trials`.
fn trial(expected: f32, kind: u32, choice: u32) -> u32 {
    return (bitcast<u32>(expected) & 0xffffff00u) | (kind << KIND) | choice;
}

// Writes a field of the block, whose words are still zero there.
fn put(words: ptr<function, vec4<u32>>, shift: u32, bits: u32, value: u32) {
    let word = shift / 32u;
    let bit = shift % 32u;
    (*words)[word] |= value << bit;
    if bit + bits > 32u {
        (*words)[word + 1u] |= value >> (32u - bit);
    }
}
