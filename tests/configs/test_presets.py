from __future__ import annotations

import re

import pytest

from mixdq.configs.presets import Preset, preset_for

# The layers that the paper's authors kept at 16 bits: 1 % of each group, rounded up, 5 and 4.
_SDXL_PROTECTED = {
    "conv_in",
    "conv_out",
    "down_blocks.0.resnets.0.conv2",
    "up_blocks.2.resnets.2.conv_shortcut",
    *(f"down_blocks.2.attentions.1.transformer_blocks.{block}.ff.net.2" for block in (5, 6, 7, 8)),
    "up_blocks.0.attentions.0.transformer_blocks.0.ff.net.2",
}

# SDXL's UNet: attentions, transformer blocks and resnets of each block that has feed-forward layers.
_TRANSFORMERS = {
    "down_blocks.1": (2, 2),
    "down_blocks.2": (2, 10),
    "up_blocks.0": (3, 10),
    "up_blocks.1": (3, 2),
}


def test_sdxl_turbo_protects_the_papers_nine_layers() -> None:
    protect = preset_for("sdxl-turbo").protect
    assert len(protect) == 9
    assert set(protect) == _SDXL_PROTECTED


def test_the_protected_feed_forward_layers_exist_in_sdxls_unet() -> None:
    pattern = re.compile(r"(.+)\.attentions\.(\d+)\.transformer_blocks\.(\d+)\.ff\.net\.2")
    matches = [match for name in preset_for("sdxl-turbo").protect if (match := pattern.fullmatch(name))]
    assert len(matches) == 5
    for match in matches:
        attentions, blocks = _TRANSFORMERS[match[1]]
        assert int(match[2]) < attentions
        assert int(match[3]) < blocks


@pytest.mark.parametrize(
    ("model", "resolutions"),
    [
        ("sdxl-turbo", (512, 768, 1024)),
        ("stabilityai/sdxl-turbo", (512, 768, 1024)),
        ("downloads/sdxl-turbo/", (512, 768, 1024)),
        ("emoji-turbo", (128, 192, 256)),
        ("some/folder/emoji-turbo", (128, 192, 256)),
        ("somebody/another-model", ()),
        ("../presets/__init__", ()),
        ("", ()),
    ],
)
def test_a_model_is_known_by_name_hub_id_or_folder_and_any_other_gets_the_default(
    model: str, resolutions: tuple[int, ...]
) -> None:
    assert preset_for(model).resolutions == resolutions


@pytest.mark.parametrize("model", ["sdxl-turbo", "emoji-turbo", "another"])
def test_every_preset_keeps_the_first_and_last_convolution_and_has_prompts(model: str) -> None:
    preset = preset_for(model)
    assert {"conv_in", "conv_out"} <= set(preset.protect)
    prompts = preset.prompts_file.read_text(encoding="utf-8").splitlines()
    assert len(prompts) >= 8
    assert all(prompt.strip() for prompt in prompts)
    assert len(set(prompts)) == len(prompts)


def test_the_default_preset_asks_for_no_resolution_of_its_own() -> None:
    assert preset_for("another") == Preset((), preset_for("emoji-turbo").protect, "scenes.txt")
