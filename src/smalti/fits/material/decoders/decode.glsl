// One texel of a neural texture: all channels of all maps, in [0, 1].
//
//     float texel[SMALTI_CHANNELS];
//     smalti_decode(ivec2(x, y), mip, texel);
//
// GLSL 4.50. Bind grids.bin and weights.bin as they are. The constants above are this material's. A
// filtered sample is a blend of texels, or one texel drawn at random from the filter.

layout(std430, set = 0, binding = 0) readonly buffer SmaltiGrids { uint smalti_grids[]; };
layout(std430, set = 0, binding = 1) readonly buffer SmaltiWeights { uint smalti_weights[]; };

float smalti_weight(int index) {
    vec2 pair = unpackHalf2x16(smalti_weights[index >> 1]);
    return (index & 1) == 1 ? pair.y : pair.x;
}

int smalti_inside(int index, int count) {
    if (SMALTI_REPEAT == 1) {
        return (index + count) % count;
    }
    return clamp(index, 0, count - 1);
}

float smalti_node(int base, int index, int bits) {
    int bit = index * bits;
    int word = base + (bit >> 5);
    uint shift = uint(bit & 31);
    uint value = smalti_grids[word] >> shift;
    if (shift + uint(bits) > 32u) {
        value |= smalti_grids[word + 1] << (32u - shift);
    }
    uint top = (1u << uint(bits)) - 1u;
    return float(value & top) / float(top) - 0.5;
}

float smalti_hgelu(float z) {
    return z * clamp(z * (1.0 / 3.0) + 0.5, 0.0, 1.0);
}

void smalti_decode(ivec2 texel, int mip, out float y[SMALTI_CHANNELS]) {
    float x[SMALTI_INPUTS];
    int first = 0;
    for (int grid = 0; grid < 2; grid++) {
        int row = (mip / 2) * 6 + grid * 3;
        int base = int(smalti_grids[row]);
        int rows = int(smalti_grids[row + 1]);
        int columns = int(smalti_grids[row + 2]);
        int channels = grid == 1 ? SMALTI_COARSE_CHANNELS : SMALTI_FINE_CHANNELS;
        int bits = grid == 1 ? SMALTI_COARSE_BITS : SMALTI_FINE_BITS;
        int scale = grid == 1 ? SMALTI_COARSE_SCALE : SMALTI_FINE_SCALE;
        vec2 at = (vec2(texel) + vec2(0.5)) * float(1 + (mip & 1)) / float(scale) - vec2(0.5);
        vec2 whole = floor(at);
        vec2 weight = at - whole;
        int top = smalti_inside(int(whole.y), rows) * columns;
        int bottom = smalti_inside(int(whole.y) + 1, rows) * columns;
        int left = smalti_inside(int(whole.x), columns);
        int right = smalti_inside(int(whole.x) + 1, columns);
        for (int c = 0; c < channels; c++) {
            float a = smalti_node(base, (top + left) * channels + c, bits);
            float b = smalti_node(base, (top + right) * channels + c, bits);
            float d = smalti_node(base, (bottom + left) * channels + c, bits);
            float e = smalti_node(base, (bottom + right) * channels + c, bits);
            x[first + c] = mix(mix(a, b, weight.x), mix(d, e, weight.x), weight.y);
        }
        first += channels;
    }
    vec2 phase = vec2(0.0);
    if ((mip & 1) == 0) {
        phase = vec2(float(texel.x & 1), float(texel.y & 1)) - vec2(0.5);
    }
    x[first] = phase.x;
    x[first + 1] = phase.y;
    x[first + 2] = 2.0 * phase.x * phase.y;
    float h[SMALTI_HIDDEN_1];
    int k = 0;
    for (int o = 0; o < SMALTI_HIDDEN_1; o++) {
        float sum = smalti_weight(SMALTI_HIDDEN_1 * SMALTI_INPUTS + o);
        for (int i = 0; i < SMALTI_INPUTS; i++) {
            sum += smalti_weight(k) * x[i];
            k++;
        }
        h[o] = smalti_hgelu(sum);
    }
    k += SMALTI_HIDDEN_1;
    float g[SMALTI_HIDDEN_2];
    int bias_2 = k + SMALTI_HIDDEN_2 * SMALTI_HIDDEN_1;
    for (int o = 0; o < SMALTI_HIDDEN_2; o++) {
        float sum = smalti_weight(bias_2 + o);
        for (int i = 0; i < SMALTI_HIDDEN_1; i++) {
            sum += smalti_weight(k) * h[i];
            k++;
        }
        g[o] = smalti_hgelu(sum);
    }
    k += SMALTI_HIDDEN_2;
    int bias_3 = k + SMALTI_CHANNELS * SMALTI_HIDDEN_2;
    for (int o = 0; o < SMALTI_CHANNELS; o++) {
        float sum = smalti_weight(bias_3 + o);
        for (int i = 0; i < SMALTI_HIDDEN_2; i++) {
            sum += smalti_weight(k) * g[i];
            k++;
        }
        y[o] = clamp(sum, 0.0, 1.0);
    }
}
