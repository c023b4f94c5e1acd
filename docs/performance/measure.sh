#!/usr/bin/env bash
# Measures again what the folder h200/ and kernels-h200*.json hold: bash docs/performance/measure.sh DIR [TARGET]
#
# GPUs that are idle but for this. What compiles goes side by side; what is timed is alone on its GPU, and whole
# pictures, for which the processor counts, on the machine. With a second GPU, pictures compile on the first while
# the UNet alone and its kernels are measured on the second. DIR/steps.txt tells how each step ended; one that fails
# does not keep the others. What DIR holds already of an earlier try is gone on with, where the commands do. The files
# here are DIR's, kernels*.json and unet/ renamed; unet/*.csv get a column `run`, kernels.csv loses what takes under
# 10 us, check.txt is all of check-*.txt but their last lines.
set -u
out=${1:?a folder for the figures} target=${2:-cuda:sm90}
sizes="512 768 1024"
reference="sdxl-turbo --weights synthetic --device cuda --precision float16 --vae-precision bfloat16 --compile --cuda-graph"
timing="--processes 1 --warmup 5 --repeats 30"
cases="torchao:512 compiled:512:8 compiled:512:4"
for way in w8a8 w8a8-half fp16 compiled; do for size in 1024 512 768; do cases="$cases $way:$size"; done; done
cases="$cases w8a8:512:8 w8a8:512:4 fp16:512:8 fp16:512:4 w4a16:1024 w4a16:512"
for way in graph eager; do for size in $sizes; do cases="$cases $way:$size"; done; done
mkdir -p "$out"
rm -f "$out/steps.txt"

step() { # NAME COMMAND…: runs it, its words into NAME.txt
    local name=$1 begin=$SECONDS code=0
    shift
    "$@" > "$out/$name.txt" 2>&1 || code=$?
    echo "$name: exit code $code after $((SECONDS - begin)) s: $*" | tee -a "$out/steps.txt"
}

make_pictures() {
    local running=()
    step compile-turbo mixdq-compile run sdxl-turbo --weights synthetic --target "$target" --prompt-count 4 \
        --resolution 512 --resolution 768 --resolution 1024 --jobs 8 --out "$out/turbo" &
    running+=($!)
    step compile-emoji mixdq-compile run emoji-turbo --target "$target" --resolution 128 --jobs 4 --out "$out/emoji" &
    running+=($!)
    (
        # In a process each that also compiles: torch keeps what it compiled, and timing finds it.
        for size in $sizes; do
            step "reference-memory-$size" mixdq-eval memory $reference --resolution "$size" --out "$out/picture-memory.json"
        done
    ) &
    running+=($!)
    for part in 0 1 2 3 4 5; do
        step "check-$part" python -m mixdq.compiler.cuda.kernels.check --part "$part" --parts 6 &
        running+=($!)
    done
    wait "${running[@]}"
}

time_pictures() {
    for size in $sizes; do
        step "memory-$size" mixdq-eval memory "$out/turbo" --target "$target" --resolution "$size" --out "$out/picture-memory.json"
        step "latency-$size" mixdq-eval latency "$out/turbo" --target "$target" --resolution "$size" $timing \
            --out "$out/picture-latency.json"
        step "engines-$size" python -m mixdq.eval.speed.latency_engines "$out/turbo" --target "$target" --resolution "$size" \
            --out "$out/picture-engines-$size.json"
        step "reference-latency-$size" mixdq-eval latency $reference --resolution "$size" $timing --out "$out/picture-latency.json"
    done
    step emoji-memory mixdq-eval memory "$out/emoji" --target "$target" --out "$out/emoji-memory.json"
    step emoji-latency mixdq-eval latency "$out/emoji" --target "$target" $timing --out "$out/emoji-latency.json"
    step emoji-engines python -m mixdq.eval.speed.latency_engines "$out/emoji" --target "$target" --out "$out/emoji-engines.json"
}

time_unet() {
    step unet-speed mixdq-eval unet-speed --out "$out/unet" --at-once 15 --patience 900 $cases
}

compare_layers() {
    step agreement-turbo mixdq-eval cuda-agreement "$out/turbo" --target "$target" --resolution 512 --prompt-count 2 \
        --out "$out/turbo-agreement.json"
    step agreement-emoji mixdq-eval cuda-agreement "$out/emoji" --target "$target" --out "$out/picture-agreement.json"
}

time_kernels() {
    local program="python -m mixdq.compiler.cuda.kernels.benchmark"
    step kernels-unweighted $program --form unweighted --json "$out/kernels-unweighted.json"
    step kernels $program --json "$out/kernels.json"
    for batch in 4 8; do
        step "kernels-batch-$batch" $program --batch "$batch" --resolution 512 --json "$out/kernels-batch-$batch.json"
    done
    step kernels-w4a16 $program --form w4a16 --json "$out/kernels-w4a16.json"
    step kernels-w8a16 $program --form w8a16 --resolution 1024 --json "$out/kernels-w8a16.json"
}

if [ "$(nvidia-smi --list-gpus | wc -l)" -gt 1 ]; then
    (
        export CUDA_VISIBLE_DEVICES=1
        time_unet
        until grep -qs "^compile-turbo:" "$out/steps.txt" && grep -qs "^compile-emoji:" "$out/steps.txt"; do sleep 1; done
        compare_layers
        time_kernels
    ) &
    export CUDA_VISIBLE_DEVICES=0
    make_pictures
    wait
    time_pictures
else
    make_pictures
    time_unet
    time_pictures
    compare_layers
    time_kernels
fi
