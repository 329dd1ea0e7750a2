// A residual and the branch that is added to it, their sum, and the sum's LayerNorm (Ba et al., arXiv 1607.06450) in the
// type that the next layer multiplies in: one pass over the rows, a warp each.
//
// A lane holds EIGHTS times eight neighbouring channels, so that mean and deviations from it need no second look at
// memory. All is calculated in float32; the sum is rounded before it is normalised, as where both are kernels of their own.
//
// Constants: SUM (storage type of residual and sum), BRANCH (of the branch and of what is normalised), EIGHTS.
#include "storage.cuh"

constexpr int THREADS = 128;

struct Arguments {
    const void* residual;  // (rows, channels), as all others 16-byte aligned
    const void* branch;    // (rows, channels)
    const float* weight;   // (channels)
    const float* bias;     // (channels)
    void* sum;             // (rows, channels)
    void* normed;          // (rows, channels)
    long long rows;
    int channels;          // a multiple of eight, 256 * EIGHTS at most
    float epsilon;
};

struct Eight {
    float of[8];
};

__device__ inline Eight load_eight(Float32, const void* numbers, long long i) {
    const float4* parts = static_cast<const float4*>(numbers) + i / 4;
    const float4 a = __ldg(parts), b = __ldg(parts + 1);
    return {{a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w}};
}
template <typename Half>
__device__ Eight load_eight(Half type, const void* numbers, long long i) {
    const uint4 words = load16(static_cast<const char*>(numbers) + 2 * i);
    const float2 a = unpack(type, words.x), b = unpack(type, words.y), c = unpack(type, words.z), d = unpack(type, words.w);
    return {{a.x, a.y, b.x, b.y, c.x, c.y, d.x, d.y}};
}

// Stores what it was given, and returns what was stored
__device__ inline Eight store_eight(Float32, void* numbers, long long i, const Eight& x) {
    float4* parts = static_cast<float4*>(numbers) + i / 4;
    parts[0] = make_float4(x.of[0], x.of[1], x.of[2], x.of[3]);
    parts[1] = make_float4(x.of[4], x.of[5], x.of[6], x.of[7]);
    return x;
}
template <typename Half>
__device__ Eight store_eight(Half type, void* numbers, long long i, const Eight& x) {
    const unsigned a = pack(type, x.of[0], x.of[1]), b = pack(type, x.of[2], x.of[3]);
    const unsigned c = pack(type, x.of[4], x.of[5]), d = pack(type, x.of[6], x.of[7]);
    *reinterpret_cast<uint4*>(static_cast<char*>(numbers) + 2 * i) = make_uint4(a, b, c, d);
    const float2 p = unpack(type, a), q = unpack(type, b), r = unpack(type, c), s = unpack(type, d);
    return {{p.x, p.y, q.x, q.y, r.x, r.y, s.x, s.y}};
}

__device__ inline float over_warp(float x) {
#pragma unroll
    for (int other = 16; other > 0; other /= 2) x += __shfl_xor_sync(ALL_LANES, x, other);
    return x;
}

extern "C" __global__ void __launch_bounds__(THREADS) add_layer_norm(const __grid_constant__ Arguments a) {
    const int lane = threadIdx.x % 32;
    const long long row = blockIdx.x * static_cast<long long>(THREADS / 32) + threadIdx.x / 32;
    if (row >= a.rows) return;
    Eight sums[EIGHTS];
    float total = 0.0f;
#pragma unroll
    for (int n = 0; n < EIGHTS; ++n) {
        const int channel = 8 * (32 * n + lane);
        sums[n] = {};
        if (channel >= a.channels) continue;
        const long long at = row * a.channels + channel;
        const Eight residual = load_eight(SUM(), a.residual, at), branch = load_eight(BRANCH(), a.branch, at);
#pragma unroll
        for (int i = 0; i < 8; ++i) sums[n].of[i] = residual.of[i] + branch.of[i];
        sums[n] = store_eight(SUM(), a.sum, at, sums[n]);
#pragma unroll
        for (int i = 0; i < 8; ++i) total += sums[n].of[i];
    }
    const float mean = over_warp(total) / a.channels;
    float squares = 0.0f;
#pragma unroll
    for (int n = 0; n < EIGHTS; ++n) {
        if (8 * (32 * n + lane) >= a.channels) continue;
#pragma unroll
        for (int i = 0; i < 8; ++i) {
            sums[n].of[i] -= mean;
            squares = fmaf(sums[n].of[i], sums[n].of[i], squares);
        }
    }
    const float scale = rsqrtf(over_warp(squares) / a.channels + a.epsilon);
#pragma unroll
    for (int n = 0; n < EIGHTS; ++n) {
        const int channel = 8 * (32 * n + lane);
        if (channel >= a.channels) continue;
        const Eight weight = load_eight(Float32(), a.weight, channel), bias = load_eight(Float32(), a.bias, channel);
        Eight normed;
#pragma unroll
        for (int i = 0; i < 8; ++i) normed.of[i] = fmaf(sums[n].of[i] * scale, weight.of[i], bias.of[i]);
        store_eight(BRANCH(), a.normed, row * a.channels + channel, normed);
    }
}
