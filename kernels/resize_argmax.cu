// Class logits resized bilinearly and reduced to labels in one pass: nothing of the size classes x pixels is written.
// The first of equal classes wins, NaN never.
#include "resize.cuh"

struct Arguments {
    Resize resize;
    unsigned char* labels;  // (output rows, output_stride)
};

extern "C" __global__ void __launch_bounds__(128) resize_argmax(const __grid_constant__ Arguments a) {
    const int x = (blockIdx.x * blockDim.x + threadIdx.x) * PIXELS, y = blockIdx.y;
    if (x >= a.resize.output_width) return;
    const Footprint f = footprint(a.resize, y, x);
    float best[PIXELS];
    int label[PIXELS] = {};
#pragma unroll
    for (int p = 0; p < PIXELS; ++p) best[p] = MINUS_INFINITY;
    for (int map = 0; map < a.resize.maps_count; ++map) {
        float pixels[PIXELS];
        resized(a.resize, f, map, pixels);
#pragma unroll
        for (int p = 0; p < PIXELS; ++p) {
            if (pixels[p] > best[p]) {
                best[p] = pixels[p];
                label[p] = map;
            }
        }
    }
    const unsigned word = label[0] | label[1] << 8 | label[2] << 16 | label[3] << 24;
    reinterpret_cast<unsigned*>(a.labels + static_cast<long long>(y) * a.resize.output_stride)[x / PIXELS] = word;
}
