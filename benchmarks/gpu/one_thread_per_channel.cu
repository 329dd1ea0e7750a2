// Multi-scale deformable attention as it is usually written, to compare with: a thread for each channel of each head of
// each query, which works out every coordinate by itself. Locations and weights come ready, in float32.
//
// Constants: VALUE (storage type), LEVELS, POINTS, HEADS, CHANNELS.
#include "storage.cuh"

struct Arguments {
    const void* value;       // (B, tokens, HEADS, CHANNELS)
    const float* locations;  // (B, queries, HEADS, LEVELS, POINTS, 2): x, y in 0..1
    const float* weights;    // (B, queries, HEADS, LEVELS, POINTS)
    void* output;            // (B, queries, HEADS, CHANNELS)
    int tokens, queries, count;
    int start[LEVELS], height[LEVELS], width[LEVELS];
};

__device__ void store(Float32, void* output, int i, float number) { static_cast<float*>(output)[i] = number; }
template <typename Half>
__device__ void store(Half type, void* output, int i, float number) {
    static_cast<unsigned short*>(output)[i] = pack(type, number, 0.0f);
}

extern "C" __global__ void one_thread_per_channel(const __grid_constant__ Arguments a) {
    const int index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= a.count) return;
    const int channel = index % (HEADS * CHANNELS);
    const int head_of_query = index / CHANNELS;
    const long long batch = index / (HEADS * CHANNELS) / a.queries;
    float sum = 0.0f;
    for (int level = 0; level < LEVELS; ++level) {
        const int height = a.height[level], width = a.width[level];
        const long long first = batch * a.tokens + a.start[level];
        for (int point = 0; point < POINTS; ++point) {
            const int sample = (head_of_query * LEVELS + level) * POINTS + point;
            const float x = a.locations[2 * sample] * width - 0.5f, y = a.locations[2 * sample + 1] * height - 0.5f;
            if (!(x > -1.0f && y > -1.0f && x < width && y < height)) continue;
            const int left = floorf(x), top = floorf(y);
            float sampled = 0.0f;
            for (int corner = 0; corner < 4; ++corner) {
                const int cx = left + corner % 2, cy = top + corner / 2;
                if (cx < 0 || cy < 0 || cx >= width || cy >= height) continue;
                const float share = (1.0f - fabsf(x - cx)) * (1.0f - fabsf(y - cy));
                sampled += share * load(VALUE(), a.value, (first + cy * width + cx) * (HEADS * CHANNELS) + channel);
            }
            sum += a.weights[sample] * sampled;
        }
    }
    store(VALUE(), a.output, index, sum);
}
