// Multi-scale deformable attention, forward (Zhu et al., Deformable DETR, arXiv 2010.04159, eq. 3), with the softmax
// over levels and points and the arithmetic from offsets to locations fused in: neither sampling locations nor
// attention weights are written to memory.
//
// A group of LANES lanes works on one head of one query, sixteen bytes of channels a lane; a block works on a tile of
// queries that lie together in their level, so that their samples meet in the L1 cache.
//
// Constants: VALUE and OFFSET (storage types), LEVELS, POINTS, HEADS, CHANNELS (of a head), TILE_HEIGHT and TILE_WIDTH
// (powers of two), TILED (1: the queries are the pixels of the levels, 0: any list).
#include "sampling.cuh"

constexpr int LANES = CHANNELS * VALUE::BYTES / 16;
constexpr int SAMPLES = LEVELS * POINTS;
constexpr int ROUNDS = (SAMPLES + LANES - 1) / LANES;
constexpr int QUERY_LANES = HEADS * LANES;
constexpr unsigned PIXEL = QUERY_LANES * 16;  // bytes of a pixel of `value`
constexpr int THREADS = TILE_HEIGHT * TILE_WIDTH * QUERY_LANES;

struct Arguments {
    const void* value;       // (B, tokens, HEADS, CHANNELS)
    const float* reference;  // (queries, 2): x, y in 0..1
    const void* offsets;     // (B, queries, HEADS, LEVELS, POINTS, 2): x, y in pixels of the level
    const void* logits;      // (B, queries, HEADS, LEVELS * POINTS)
    void* output;            // (B, queries, HEADS * CHANNELS)
    int tokens, queries;
    int start[LEVELS], height[LEVELS], width[LEVELS];  // of an empty level: a token that exists, 0, 0
};

// The query of this thread, or -1 where the tile reaches over the border of its level
__device__ int tile_query(const Arguments& a) {
    const int member = threadIdx.x / QUERY_LANES;
    int tile = blockIdx.x;
    if (!TILED) {
        const int query = tile * TILE_HEIGHT * TILE_WIDTH + member;
        return query < a.queries ? query : -1;
    }
    int start = 0;
#pragma unroll
    for (int level = 0; level < LEVELS; ++level) {
        const int across = (a.width[level] + TILE_WIDTH - 1) / TILE_WIDTH;
        const int tiles = (a.height[level] + TILE_HEIGHT - 1) / TILE_HEIGHT * across;
        if (tile >= 0 && tile < tiles) {
            const int y = tile / across * TILE_HEIGHT + member / TILE_WIDTH;
            const int x = tile % across * TILE_WIDTH + member % TILE_WIDTH;
            return y < a.height[level] && x < a.width[level] ? start + y * a.width[level] + x : -1;
        }
        tile -= tiles;
        start += a.height[level] * a.width[level];
    }
    return -1;
}

// Softmax weights of this lane's samples lane, lane + LANES, ...: (SAMPLES,) logits spread over the group
__device__ void softmax(const void* logits, long long first, int lane, float (&weights)[ROUNDS]) {
    float peak = MINUS_INFINITY;
#pragma unroll
    for (int round = 0; round < ROUNDS; ++round) {
        const int sample = round * LANES + lane;
        weights[round] = sample < SAMPLES ? load(OFFSET(), logits, first + sample) : MINUS_INFINITY;
        peak = fmaxf(peak, weights[round]);
    }
#pragma unroll
    for (int other = 1; other < LANES; other *= 2) peak = fmaxf(peak, __shfl_xor_sync(WARP, peak, other));
    float total = 0.0f;
#pragma unroll
    for (int round = 0; round < ROUNDS; ++round) total += weights[round] = __expf(weights[round] - peak);
#pragma unroll
    for (int other = 1; other < LANES; other *= 2) total += __shfl_xor_sync(WARP, total, other);
#pragma unroll
    for (int round = 0; round < ROUNDS; ++round) weights[round] = __fdividef(weights[round], total);
}

extern "C" __global__ void __launch_bounds__(THREADS) ms_deform_attn(const __grid_constant__ Arguments a) {
    const int lane = threadIdx.x % LANES;
    const int head = threadIdx.x / LANES % HEADS;
    const int tiled = tile_query(a);
    const int query = max(tiled, 0);  // lanes without a query keep their warp company: shuffles need all of it
    const long long row = (static_cast<long long>(blockIdx.y) * a.queries + query) * HEADS + head;
    const char* value = static_cast<const char*>(a.value) + static_cast<long long>(blockIdx.y) * a.tokens * PIXEL +
                        (head * LANES + lane) * 16;
    const float2 reference = __ldg(reinterpret_cast<const float2*>(a.reference) + query);

    float weights[ROUNDS];
    softmax(a.logits, row * SAMPLES, lane, weights);

    Channels<VALUE> sum;
#pragma unroll
    for (int round = 0; round < ROUNDS; ++round) {
        const int own = min(round * LANES + lane, SAMPLES - 1);  // past the end the weight is zero
        const int level = own / POINTS;
        const float2 offset = load_pair(OFFSET(), a.offsets, row * SAMPLES + own);
        const Neighbours x = neighbours(0, fmaf(reference.x, a.width[level], offset.x - 0.5f), a.width[level]);
        const Neighbours y = neighbours(0, fmaf(reference.y, a.height[level], offset.y - 0.5f), a.height[level]);
        const Corners mine = corners(y, x, a.width[level], a.start[level] * PIXEL, PIXEL, weights[round]);
#pragma unroll
        for (int owner = 0; owner < LANES; ++owner) {
            const int sample = round * LANES + owner;
            if (sample >= SAMPLES) break;
            const int width = a.width[sample / POINTS];
            const unsigned right = width > 1 ? PIXEL : 0;
            const unsigned down = a.height[sample / POINTS] > 1 ? width * PIXEL : 0;
            add_sample(sum, value, shared<LANES>(mine, owner), right, down);
        }
    }
    if (tiled >= 0) static_cast<uint4*>(a.output)[row * LANES + lane] = sum.stored();
}
