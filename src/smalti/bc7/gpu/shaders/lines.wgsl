// One mode, on the blocks and choices that `trials` lists for its kind. See
// smalti/bc7/reference/steps.py, whose steps and names these are.
//
//     axes -- first_indices --> indices -- fit --> codes -- choose --> indices, error --.
//                                           ^                                           |
//                                           '-------------------------------------------'
//
// Overwrites a block where a trial makes it better.

override MODE: u32 = 6u; // for which there is no list: it is tried on every block
override KIND_WANTED: u32 = 0u;
override SUBSETS: u32 = 1u;
override PARTITION_BITS: u32 = 0u;
override CHANNELS: u32 = 4u; // on the lines; 3: the mode has no alpha, or indices of its own for it
override BITS: i32 = 8; // of an endpoint's channel, the p-bit among them
override PBITS: u32 = 2u; // 0: none, 1: one a subset, 2: one an endpoint
override INDEX_BITS: u32 = 4u;
override LONE_INDEX_BITS: u32 = 0u; // modes 4 and 5: of the lone channel, alpha but for a rotation
override LONE_BITS: i32 = 8; // of its endpoints
override SELECTION: u32 = 0u; // mode 4: whether the lone channel has the smaller indices
override FITS: u32 = 2u; // at most
override PASSES: u32 = 0u; // of moves of the codes of a trial near the best
override TOGETHER: u32 = 4u; // sets of colours that they move: 1: all, 4: each too
override QUANTISERS: u32 = 8u; // tried for first indices, in groups of four

struct Line {
    low: vec4<f32>, // codes, with the p-bit lowest
    high: vec4<f32>,
}

const NEAR = 1.1; // how much worse than the best a trial may be for its codes to be moved
const FREE = -1.0; // for an endpoint's alpha: not prescribed

var<private> indices: array<f32, 16>;
var<private> lone_indices: array<f32, 16>;
var<private> subsets: u32; // of each texel, 2 bits
var<private> rotation: u32;
var<private> top: f32; // greatest index

@compute @workgroup_size(64)
fn encode(@builtin(global_invocation_id) id: vec3<u32>) {
    let block = id.x;
    if block >= strip.count {
        return;
    }
    var least = errors[block];
    var next = 0u;
    if least == 0.0 || !find(block, least, &next) {
        return;
    }
    load_block(block);
    top = f32((1u << INDEX_BITS) - 1u);
    var found = false;
    var best_choice = 0u;
    var best_lines: array<Line, 3>;
    var best_indices: array<f32, 16>;
    var best_lone: array<f32, 16>;
    loop {
        let choice = select(trials[block * SLOTS + next] & 63u, 0u, MODE == 6u);
        set_choice(choice);
        var lines: array<Line, 3>;
        var lone = vec3<f32>(0.0); // its two codes, its error
        if LONE_INDEX_BITS > 0u {
            lone = fit_lone();
        }
        var last = HUGE;
        var own = HUGE; // the least error of this trial, and its lines
        var own_lines = array<Line, 3>();
        if lone.z < least {
            first_indices();
        }
        for (var f = 0u; f < FITS && lone.z < least; f++) {
            for (var s = 0u; s < SUBSETS; s++) {
                lines[s] = fit(s);
            }
            if LONE_INDEX_BITS > 0u {
                lines[0] = with_lone(lines[0], lone.xy);
            }
            let error = choose(lines) + lone.z;
            if error < own {
                own = error;
                own_lines = lines;
            }
            if error < least {
                least = error;
                found = true;
                best_choice = choice;
                best_lines = lines;
                best_indices = indices;
                best_lone = lone_indices;
            }
            if error >= last || (LONE_INDEX_BITS == 0u && error > 2.0 * least) {
                break;
            }
            last = error;
        }
        for (var turn = 0u; turn < PASSES && own < NEAR * least; turn++) {
            own = descend(&own_lines, own - lone.z) + lone.z;
        }
        if own < least {
            least = own;
            found = true;
            choose(own_lines);
            best_choice = choice;
            best_lines = own_lines;
            best_indices = indices;
            best_lone = lone_indices;
        }
        next++;
        if !find(block, least, &next) {
            break;
        }
    }
    if found {
        errors[block] = least;
        set_choice(best_choice);
        indices = best_indices;
        lone_indices = best_lone;
        blocks[block] = pack(best_choice, best_lines);
    }
}

// Moves the codes of each line by single steps while that lowers the error; returns the error.
fn descend(lines: ptr<function, array<Line, 3>>, error: f32) -> f32 {
    let limit = f32((1u << u32(BITS)) - 1u);
    let stride = select(2.0, 1.0, PBITS == 0u);
    var least = error;
    for (var s = 0u; s < SUBSETS; s++) {
        for (var i = 0u; i < 9u * TOGETHER; i++) {
            let colours = i / 9u; // 0: all, else one
            let shift = vec2<f32>(f32(i % 3u), f32(i / 3u % 3u)) - 1.0; // of the low and the high code
            var steps = select(
                vec3<f32>(1.0), vec3<f32>(vec3<u32>(1u, 2u, 3u) == vec3<u32>(colours)), colours > 0u
            );
            steps = select(steps, vec3<f32>(0.0), is_lone()) * stride;
            let kept = (*lines)[s];
            let low = kept.low.rgb + shift.x * steps;
            let high = kept.high.rgb + shift.y * steps;
            if all(steps == vec3<f32>(0.0)) || all(shift == vec2<f32>(0.0))
                || any(min(low, high) < vec3<f32>(0.0)) || any(max(low, high) > vec3<f32>(limit)) {
                continue;
            }
            (*lines)[s] = Line(vec4<f32>(low, kept.low.a), vec4<f32>(high, kept.high.a));
            let other = choose(*lines);
            if other < least {
                least = other;
            } else {
                (*lines)[s] = kept;
            }
        }
    }
    return least;
}

// The next trial of the wanted kind that has a hope.
fn find(block: u32, least: f32, next: ptr<function, u32>) -> bool {
    if MODE == 6u {
        return *next == 0u;
    }
    while *next < SLOTS {
        let number = trials[block * SLOTS + *next];
        if number == NOTHING {
            return false;
        }
        let expected = bitcast<f32>(number & 0xffffff00u);
        if ((number & 255u) >> KIND) == KIND_WANTED && HOPE * expected < least {
            return true;
        }
        (*next)++;
    }
    return false;
}

// A partition, or a rotation.
fn set_choice(choice: u32) {
    subsets = 0u;
    rotation = 0u;
    if SUBSETS > 1u {
        subsets = tables[64u * (SUBSETS - 2u) + choice].x;
    } else {
        rotation = choice;
    }
}

// Of the colours, the lone channel; r: whether it is channel r - 1.
fn is_lone() -> vec3<bool> {
    return vec3<bool>(rotation == 1u, rotation == 2u, rotation == 3u);
}

fn inside(t: u32, subset: u32) -> bool {
    return ((subsets >> (2u * t)) & 3u) == subset;
}

fn texel(t: u32) -> vec4<f32> {
    if CHANNELS == 4u {
        return texels[t];
    }
    var colour = texels[t].rgb;
    if LONE_INDEX_BITS > 0u {
        colour = select(colour, vec3<f32>(texels[t].a), is_lone());
    }
    return vec4<f32>(colour, 0.0);
}

fn lone_channel(t: u32) -> f32 {
    let x = texels[t];
    return select(select(select(x.a, x.r, rotation == 1u), x.g, rotation == 2u), x.b, rotation == 3u);
}

// The step of its subset's line for each texel; returns the squared error, exactly. Of the two steps
// between which the texel lies along the line, the nearer one as a decoder rounds them.
fn choose(lines: array<Line, 3>) -> f32 {
    var starts: array<vec4<f32>, 3>;
    var spans: array<vec4<f32>, 3>;
    var rays: array<vec4<f32>, 3>; // a texel's place on its line is ray . texel + offset
    var offsets = vec3<f32>(0.0);
    for (var s = 0u; s < SUBSETS; s++) {
        let low = on_line(widen(lines[s].low));
        let span = on_line(widen(lines[s].high)) - low;
        let length = dot(span, span);
        starts[s] = low;
        spans[s] = span;
        rays[s] = span * select(0.0, top / length, length > 0.0);
        offsets[s] = -dot(rays[s], low);
    }
    var sum = 0.0;
    for (var t = 0u; t < 16u; t++) {
        let x = texel(t);
        var start = starts[0];
        var span = spans[0];
        var ray = rays[0];
        var offset = offsets[0];
        if SUBSETS >= 2u {
            start = select(start, starts[1], inside(t, 1u));
            span = select(span, spans[1], inside(t, 1u));
            ray = select(ray, rays[1], inside(t, 1u));
            offset = select(offset, offsets[1], inside(t, 1u));
        }
        if SUBSETS == 3u {
            start = select(start, starts[2], inside(t, 2u));
            span = select(span, spans[2], inside(t, 2u));
            ray = select(ray, rays[2], inside(t, 2u));
            offset = select(offset, offsets[2], inside(t, 2u));
        }
        var place = dot(ray, x) + offset;
        if CHANNELS == 4u {
            // Where alpha has to be exact it alone places the texel, unless all the line has it.
            let alone = (x.a - start.a) * top / span.a;
            place = select(place, alone, opacity(x.a) > 1.0 && span.a != 0.0);
        }
        let index = clamp(floor(place), 0.0, top - 1.0);
        let below = miss(t, start, span, index);
        let above = miss(t, start, span, index + 1.0);
        indices[t] = select(index, index + 1.0, above < below);
        sum += min(above, below);
    }
    return sum;
}

fn on_line(end: vec4<f32>) -> vec4<f32> {
    if CHANNELS == 3u {
        return vec4<f32>(end.rgb, 0.0);
    }
    return end;
}

// Squared error of a texel at a step of its line.
fn miss(t: u32, start: vec4<f32>, span: vec4<f32>, index: f32) -> f32 {
    let entry = floor(start + 0.5 + weight_of(vec4<f32>(index)) / 64.0 * span);
    let difference = texel(t) - entry;
    let error = visible[t] * dot(difference.rgb, difference.rgb);
    if CHANNELS == 4u {
        return error + opacity(texels[t].a) * difference.a * difference.a;
    }
    return error;
}
