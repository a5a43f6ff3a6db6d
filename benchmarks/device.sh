#!/usr/bin/env bash
# What a GPU at hand has to say about this library, in less than nine minutes: is it right, and how
# fast?  Run in the root of a clone, where jax finds the GPU.  Tables and JSON go to the folder that
# OUT names.  A step that is cut off by its limit keeps the rows that it has written.
export PYTHONUNBUFFERED=1 PYTHONPATH=. XLA_PYTHON_CLIENT_MEM_FRACTION=.5
OUT=${OUT:?a folder for the results}
mkdir -p "$OUT"
step() {
    echo "== $1"
    timeout "${@:2}" 2>&1 | tee -a "$OUT/device.txt"
}
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | tee "$OUT/device.txt"
step numbers 120 python3 -m benchmarks.device_numbers
# torch.compile is left out: it takes longer to compile than there is time.
peers=("jaxrnn, autodiff" "jaxrnn, cuDNN" "Flax nnx" "Haiku" "Equinox" "Keras" "PyTorch")
for steps in 1 16; do
    step "training step, $steps a call" 110 python3 -m benchmarks.train_step --repetitions 15 \
        --steps-per-call $steps --json "$OUT/step$steps.json" --peers "${peers[@]}"
done
step layers 180 python3 -m benchmarks.on_device --seconds 130 --json "$OUT/layers.json"
exit 0
