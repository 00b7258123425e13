"""What engines get of a neural texture: shaders that decode what we decode, and block textures."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from smalti.errors import OptionError
from smalti.fits.material.blocks import export_blocks
from smalti.fits.material.fit import fit_texture
from smalti.fits.material.maps import Map
from smalti.fits.material.shaders import export_shader, shader_text
from smalti.material import fit_material
from smalti.textures import decode_surface, read_texture

from conftest import make_picture
from neural_maps import ODD, make_maps


@pytest.fixture(scope="module")
def material():
    return fit_material(make_maps(), bpp=16, rounds=20)


@pytest.mark.parametrize("repeat", [False, True])
@pytest.mark.parametrize("language", ["wgsl", "glsl"])
def test_shaders_on_a_gpu_decode_what_we_decode(language, repeat):
    wgpu = pytest.importorskip("wgpu", reason="wgpu is not installed: pip install 'smalti[gpu]'")
    adapters = [a for a in wgpu.gpu.enumerate_adapters_sync() if a.info["backend_type"] == "Vulkan"]
    if not adapters:
        pytest.skip("no Vulkan adapter is here")
    texture, maps = odd_texture(repeat)
    files = export_shader(texture, maps, language)
    device = adapters[0].request_device_sync()
    code = VERSION[language] + files[f"decode.{language}"].decode() + MAIN[language]
    pipeline = device.create_compute_pipeline(
        layout="auto",
        compute={
            "module": device.create_shader_module(code=code, label="decode.comp"),
            "entry_point": "main",
        },
    )
    for mip in (0, 1, 2):
        height, width = texture.layout.size(mip)
        out = device.create_buffer(size=4 * 5 * height * width, usage="STORAGE|COPY_SRC")
        buffers = [
            device.create_buffer_with_data(data=files["grids.bin"], usage="STORAGE"),
            device.create_buffer_with_data(data=files["weights.bin"], usage="STORAGE"),
            out,
            device.create_buffer_with_data(
                data=np.array([width, height, mip], np.uint32), usage="STORAGE"
            ),
        ]
        group = device.create_bind_group(
            layout=pipeline.get_bind_group_layout(0),
            entries=[{"binding": i, "resource": {"buffer": b}} for i, b in enumerate(buffers)],
        )
        commands = device.create_command_encoder()
        work = commands.begin_compute_pass()
        work.set_pipeline(pipeline)
        work.set_bind_group(0, group)
        work.dispatch_workgroups(-(-height * width // 64))
        work.end()
        device.queue.submit([commands.finish()])
        drawn = np.frombuffer(device.queue.read_buffer(out), np.float32)
        check_drawn(drawn, texture, mip)


@pytest.mark.parametrize("repeat", [False, True])
def test_slang_on_the_processor_decodes_what_we_decode(repeat):
    slangpy = pytest.importorskip("slangpy", reason="slangpy is not installed")
    if not (shutil.which("g++") or shutil.which("clang++")):
        pytest.skip("Slang's target cpu needs g++ or clang++")
    from slangpy import BufferUsage

    texture, maps = odd_texture(repeat)
    files = export_shader(texture, maps, "slang")
    device = slangpy.Device(type=slangpy.DeviceType.cpu, enable_hot_reload=False)
    source = files["decode.slang"].decode() + MAIN["slang"]
    module = device.load_module_from_source(f"decode_{repeat}", source)
    program = device.link_program([module], [module.entry_point("draw")])
    kernel = device.create_compute_kernel(program)

    def buffer(content: bytes):
        words = np.frombuffer(content, np.uint32).copy()  # slangpy wants to write
        return device.create_buffer(
            element_count=len(words), struct_size=4, usage=BufferUsage.shader_resource, data=words
        )

    for mip in (0, 1):
        height, width = texture.layout.size(mip)
        out = device.create_buffer(
            element_count=5 * height * width, struct_size=4, usage=BufferUsage.unordered_access
        )
        kernel.dispatch(
            [height * width, 1, 1],
            vars={
                "smalti_grids": buffer(files["grids.bin"]),
                "smalti_weights": buffer(files["weights.bin"]),
                "drawn": out,
            },
            width=width,
            height=height,
            mip=mip,
        )
        check_drawn(out.to_numpy().view(np.float32), texture, mip)


VERSION = {"wgsl": "", "glsl": "#version 450\n"}
MAIN = {
    "wgsl": """
@group(0) @binding(2) var<storage, read_write> drawn: array<f32>;
@group(0) @binding(3) var<storage, read> job: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= job[0] * job[1] { return; }
    var texel = smalti_decode(vec2<i32>(i32(id.x % job[0]), i32(id.x / job[0])), i32(job[2]));
    for (var c = 0; c < SMALTI_CHANNELS; c++) {
        drawn[i32(id.x) + c * i32(job[0] * job[1])] = texel[c];
    }
}
""",
    "glsl": """
layout(local_size_x = 64) in;
layout(std430, set = 0, binding = 2) buffer Drawn { float drawn[]; };
layout(std430, set = 0, binding = 3) readonly buffer Job { uint job[]; };

void main() {
    uint id = gl_GlobalInvocationID.x;
    if (id >= job[0] * job[1]) { return; }
    float texel[SMALTI_CHANNELS];
    smalti_decode(ivec2(int(id % job[0]), int(id / job[0])), int(job[2]), texel);
    for (int c = 0; c < SMALTI_CHANNELS; c++) {
        drawn[int(id) + c * int(job[0] * job[1])] = texel[c];
    }
}
""",
    "slang": """
RWStructuredBuffer<float> drawn;

[shader("compute")]
[numthreads(64, 1, 1)]
void draw(uint3 id: SV_DispatchThreadID, uniform int width, uniform int height, uniform int mip) {
    int i = int(id.x);
    if (i >= width * height) return;
    float texel[SMALTI_CHANNELS];
    smalti_decode(int2(i % width, i / width), mip, texel);
    for (int c = 0; c < SMALTI_CHANNELS; c++) drawn[i + c * width * height] = texel[c];
}
""",
}


def odd_texture(repeat: bool):
    """Grids of 4 and 6 bits, an odd number of weights, two maps."""
    layout = dataclasses.replace(ODD, repeat=repeat)
    levels = [make_picture(3, *layout.size(m)) for m in range(layout.mip_count)]
    levels = [np.concatenate([each, each[..., :2]], -1) for each in levels]
    maps = (Map("albedo", 3, "colour"), Map("parts", 2, "data"))
    return fit_texture(layout, levels, [1] * 5, rounds=2), maps


def check_drawn(drawn: np.ndarray, texture, mip: int) -> None:
    ours = texture.mip(mip).transpose(2, 0, 1)
    assert ours.std() > 0.05
    np.testing.assert_allclose(drawn.reshape(ours.shape), ours, atol=2e-5)


def test_an_exports_files_say_what_they_hold(material):
    files = export_shader(material.texture, material.maps, "slang")
    about = json.loads(files["material.json"])
    assert [m["first"] for m in about["maps"]] == [0, 3, 6, 7]
    layout = material.texture.layout
    table = 4 * 6 * layout.level_count
    bits = 8 * (len(files["grids.bin"]) - table + len(files["weights.bin"]))
    assert 0 <= bits - layout.memory_bits < 32 * (2 * layout.level_count + 1)
    with pytest.raises(OptionError, match="no decoder in 'hlsl'; there are glsl, wgsl, slang"):
        shader_text(layout, "hlsl")


@pytest.mark.parametrize("suffix", [".dds", ".ktx2"])
def test_block_textures_hold_the_decoded_maps(material, suffix):
    pytest.importorskip("quicktex", reason="quicktex is not installed")
    files = export_blocks(material.texture, material.maps, suffix, effort="ultrafast")
    assert set(files) == {f"{n}{suffix}" for n in ("albedo", "normal", "roughness_ao")}
    for name, first, count in (("albedo", 0, 3), ("normal", 3, 2), ("roughness_ao", 6, 2)):
        held = read_texture(files[name + suffix])
        assert held.format == ("bc5" if name == "normal" else "bc7")
        assert held.srgb == (name == "albedo")
        assert len(held.levels) == material.texture.layout.mip_count
        for mip in (0, 2):
            ours = material.texture.mip(mip)[..., first : first + count]
            drawn = decode_surface(held, mip)[..., :count] / 255
            assert np.square(drawn - ours).mean() < 5e-3  # wrong channels are 10 times as far
