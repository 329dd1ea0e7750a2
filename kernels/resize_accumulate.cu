// Class maps resized bilinearly and added to scores, as they are or after their softmax over the classes.
//
// Constants, beside those of resize.cuh: SOFTMAX (0 or 1).
#include "resize.cuh"

constexpr float LOWEST = -3.4e38f;  // below any logit, and no infinity: the difference of two would be NaN

struct Arguments {
    Resize resize;
    float* scores;  // (maps, output rows, output_stride), 16-byte aligned
};

extern "C" __global__ void __launch_bounds__(128) resize_accumulate(const __grid_constant__ Arguments a) {
    const int x = (blockIdx.x * blockDim.x + threadIdx.x) * PIXELS, y = blockIdx.y;
    if (x >= a.resize.output_width) return;
    const Footprint f = footprint(a.resize, y, x);
    float pixels[PIXELS], peak[PIXELS], total[PIXELS];
#pragma unroll
    for (int p = 0; p < PIXELS; ++p) {
        peak[p] = LOWEST;
        total[p] = 0.0f;
    }
    if (SOFTMAX) {
        // One pass for the sum of exponentials: when a larger logit comes, what was summed shrinks.
        for (int map = 0; map < a.resize.maps_count; ++map) {
            resized(a.resize, f, map, pixels);
#pragma unroll
            for (int p = 0; p < PIXELS; ++p) {
                const bool higher = pixels[p] > peak[p];
                const float power = __expf(higher ? peak[p] - pixels[p] : pixels[p] - peak[p]);
                total[p] = higher ? fmaf(total[p], power, 1.0f) : total[p] + power;
                peak[p] = higher ? pixels[p] : peak[p];
            }
        }
#pragma unroll
        for (int p = 0; p < PIXELS; ++p) total[p] = __fdividef(1.0f, total[p]);
    }
    float4* scores = reinterpret_cast<float4*>(a.scores + static_cast<long long>(y) * a.resize.output_stride + x);
    const long long map_stride = static_cast<long long>(a.resize.output_rows) * a.resize.output_stride / PIXELS;
    for (int map = 0; map < a.resize.maps_count; ++map, scores += map_stride) {
        resized(a.resize, f, map, pixels);
        if (SOFTMAX) {
#pragma unroll
            for (int p = 0; p < PIXELS; ++p) pixels[p] = __expf(pixels[p] - peak[p]) * total[p];
        }
        const float4 sum = *scores;
        *scores = make_float4(sum.x + pixels[0], sum.y + pixels[1], sum.z + pixels[2], sum.w + pixels[3]);
    }
}
