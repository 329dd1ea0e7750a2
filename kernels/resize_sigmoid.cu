// Mask logits resized bilinearly, and their sigmoid.
#include "resize.cuh"

struct Arguments {
    Resize resize;
    float* masks;  // (maps, output rows, output_stride), 16-byte aligned
};

extern "C" __global__ void __launch_bounds__(128) resize_sigmoid(const __grid_constant__ Arguments a) {
    const int x = (blockIdx.x * blockDim.x + threadIdx.x) * PIXELS, y = blockIdx.y;
    if (x >= a.resize.output_width) return;
    const Footprint f = footprint(a.resize, y, x);
    float4* masks = reinterpret_cast<float4*>(a.masks + static_cast<long long>(y) * a.resize.output_stride + x);
    const long long map_stride = static_cast<long long>(a.resize.output_rows) * a.resize.output_stride / PIXELS;
    for (int map = 0; map < a.resize.maps_count; ++map, masks += map_stride) {
        float pixels[PIXELS];
        resized(a.resize, f, map, pixels);
#pragma unroll
        for (int p = 0; p < PIXELS; ++p) pixels[p] = sigmoid(pixels[p]);
        *masks = make_float4(pixels[0], pixels[1], pixels[2], pixels[3]);
    }
}
