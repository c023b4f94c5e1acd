"""What a UNet's kernels are for."""

from __future__ import annotations

import pytest

from mixdq.eval.speed.kernel_kinds import KernelKind, KindTime, Launch, kind_of, kinds_of, time_by_kind

_PRODUCT = "nvjet_sm90_hsh_56x64_64x14_4x2_h_bz_bias_TNN"


@pytest.mark.parametrize(
    ("kernel", "kind"),
    [
        ("int8_linear_kernel", KernelKind.INT8),
        ("convolution_kernel", KernelKind.INT8),
        ("attention_kernel", KernelKind.ATTENTION),
        ("cudnn_generated_fort_native_sdpa_sm90_flash_fprop_wgmma_f16_knob_7", KernelKind.ATTENTION),
        (_PRODUCT, KernelKind.LIBRARY),
        ("sm90_xmma_fprop_implicit_gemm_f16f16_f16f32_f32_nhwckrsc_nhwc", KernelKind.LIBRARY),
        ("layer_norm_kernel", KernelKind.NORM),
        ("group_apply_kernel", KernelKind.NORM),
        ("triton_red_fused_add_native_layer_norm_view_56", KernelKind.NORM),
        ("triton_poi_fused__to_copy_add_mul_rsqrt_sub_var_mean_view_11", KernelKind.NORM),
        ("void at::native::RowwiseMomentsCUDAKernel<c10::Half>(long)", KernelKind.NORM),
        ("triton_poi_fused_add_clone_convolution_25", KernelKind.REST),
        ("triton_poi_fused_gelu_mul_split_view_54", KernelKind.REST),
        ("Memset (Unknown)", KernelKind.REST),
    ],
)
def test_a_name_tells_what_a_kernel_is_for(kernel: str, kind: KernelKind) -> None:
    assert kind_of(kernel) is kind


def _run(*kernels: str) -> list[Launch]:
    return [Launch(kernel, 2.0) for kernel in kernels]


def test_outer_convolutions_and_products_of_widened_weights_are_protected_beside_integer_layers() -> None:
    run = _run(
        "convolution_kernel",
        "widen_kernel",
        "widen_kernel",
        _PRODUCT,
        _PRODUCT,
        "convolution_kernel",
        _PRODUCT,
        "int8_linear_kernel",
        "convolution_kernel",
    )
    protected, integers = KernelKind.PROTECTED, KernelKind.INT8
    library = KernelKind.LIBRARY
    assert kinds_of(run) == [*[protected] * 5, integers, library, integers, protected]


def test_without_layers_of_weights_alone_no_convolution_is_protected() -> None:
    assert kinds_of(_run("convolution_kernel", _PRODUCT)) == [KernelKind.INT8, KernelKind.LIBRARY]


def test_many_layers_of_weights_alone_are_not_called_protected() -> None:
    assert set(kinds_of(_run(*["widen_kernel", _PRODUCT] * 17))) == {KernelKind.WEIGHT_ONLY}


def test_times_of_the_kinds_add_up_to_the_run() -> None:
    run = _run("int8_linear_kernel", "attention_kernel", "int8_linear_kernel", "Memset (Unknown)")
    assert time_by_kind(run) == [
        KindTime(KernelKind.INT8, 4.0, 2),
        KindTime(KernelKind.ATTENTION, 2.0, 1),
        KindTime(KernelKind.REST, 2.0, 1),
    ]
